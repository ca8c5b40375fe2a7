//! Writes a seed of the fuzz corpus: shared by the tests of the crates whose vectors become seeds.

/// Writes `input` as `tests/fuzz/corpus/<target>/<name>`; `crate_folder` is two folders or one below the root.
pub fn seed(crate_folder: &str, target: &str, name: &str, input: &[u8]) {
    let root =
        std::path::Path::new(crate_folder).ancestors().find(|folder| folder.join("Cargo.lock").exists()).expect("the workspace has a root");
    let folder = root.join("tests/fuzz/corpus").join(target);
    std::fs::create_dir_all(&folder).expect("the corpus can be written");
    std::fs::write(folder.join(name), input).expect("the corpus can be written");
}
