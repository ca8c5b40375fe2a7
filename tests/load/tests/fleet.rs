//! A small fleet over links of every kind, with storms; thousands of cameras where `make soak` asks for them.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use exhibit_load::judge::judge;
use exhibit_load::link::Weather;
use exhibit_load::run::{Links, Plan, Site, Storm, run};

/// Two links of each kind that breaks, eight that do not.
const CAMERAS: usize = 16;
const SECONDS: u64 = 12;

#[test]
fn nothing_acknowledged_is_lost_over_links_that_break_and_storms_and_the_rest_is_in_the_spools() {
    let (cameras, seconds) = (number("SOAK_CAMERAS", CAMERAS as u64), number("SOAK_LOAD_SECONDS", SECONDS));
    let seed = number("EXHIBIT_SEED", 1);
    let cameras = usize::try_from(cameras).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::open(folder.path(), cameras);
    let plan = Plan {
        cameras,
        bits_per_s: 1_000_000,
        warm_up: Duration::from_secs(2),
        length: Duration::from_secs(seconds),
        seed,
        links: Links::Mixed,
        storms: vec![Storm::Links, Storm::Appliance],
        spools: folder.path().to_owned(),
    };
    let outcome = run(&mut site, &plan);
    let judged = judge(&mut site, &outcome);
    eprintln!("EXHIBIT_SEED={seed}: {judged:?}, {:?}", outcome.counts);
    for (what, count) in [("cut", &outcome.counts.cut), ("unheard", &outcome.counts.unheard), ("stalled", &outcome.counts.stalled)] {
        assert!(count.load(Ordering::Relaxed) > 0, "no link was {what}: this run shows nothing");
    }
    let connections = outcome.counts.connections.load(Ordering::Relaxed);
    assert!(connections >= 2 * cameras as u64, "{connections} connections: there was no storm");
    assert!(judged.spooled > 0, "stalled links left nothing in the spools");
    for (camera, weather) in outcome.cameras.iter().zip(&outcome.weathers) {
        // Whoever stalls holds nobody up but themselves.
        let left = camera.segments.values().filter(|segment| segment.acknowledged.is_none()).count();
        assert!(
            left == 0 || *weather == Weather::Stalling,
            "{} was left with {left} segments by a link that is {weather:?}",
            camera.subject
        );
        assert!(camera.segments.len() as u64 >= plan.length.as_secs() / 6 - 1, "{} recorded hardly anything", camera.subject);
    }
}

#[test]
fn a_run_of_which_an_object_is_lost_is_not_found_good() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::open(folder.path(), 2);
    let plan = Plan {
        cameras: 2,
        bits_per_s: 1_000_000,
        warm_up: Duration::from_secs(1),
        length: Duration::from_secs(6),
        seed: 1,
        links: Links::Direct,
        storms: vec![],
        spools: folder.path().to_owned(),
    };
    let outcome = run(&mut site, &plan);
    let payloads = site.world.state().join("vault/payloads");
    let files = std::fs::read_dir(payloads).unwrap().flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    let lost = files.map(|file| file.unwrap().path()).next().expect("cameras have sent something");
    std::fs::remove_file(&lost).unwrap();
    let judged = catch_unwind(AssertUnwindSafe(|| judge(&mut site, &outcome)));
    let said = judged.expect_err("an object was lost, and nobody noticed");
    let said = said.downcast_ref::<String>().map_or("", String::as_str);
    assert!(said.contains("its ciphertext is lost"), "it is found for another reason: {said}");
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
