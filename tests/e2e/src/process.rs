//! The programs under test, found beside the test itself: run to their end, or kept running; all that they say is kept.
//!
//! It does not know what any of them does. Each is ended through its own handle, and waited for by what it says, never by sleeping.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

/// A command takes seconds; two busy cores get a minute or two.
pub const COMMAND_MAX: Duration = Duration::from_secs(120);
/// So many of the last lines tell why something failed.
const LINES_SHOWN: usize = 60;

/// The program of that name, as the build left it beside this test or benchmark.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program knows its file");
    // Programs lie in target/<profile>, and tests in a folder of it.
    let folder = own.parent().expect("a program lies in a folder");
    let folder = folder.parent().filter(|_| folder.ends_with("deps")).unwrap_or(folder);
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built: run `cargo build --workspace --bins` first, or `make test`, which does", path.display());
    path
}

/// What a command that has ended said.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run, for messages.
    pub command: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Outcome {
    /// Demands an exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n--- stdout\n{}\n--- stderr\n{}", self.command, self.stdout, self.stderr);
        self
    }

    /// The JSON that it printed.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{} did not print JSON ({error}):\n{}\n{}", self.command, self.stdout, self.stderr))
    }

    /// What it printed under a name in its JSON.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        let json = self.json();
        json[name].as_str().unwrap_or_else(|| panic!("{} printed no {name}: {json}", self.command)).to_owned()
    }
}

/// Runs a command to its end, which must come in time.
#[track_caller]
pub fn run(command: &mut Command) -> Outcome {
    let words = words_of(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{words} does not start: {error}"));
    let stdout = read_aside(child.stdout.take().expect("it was piped"));
    let stderr = read_aside(child.stderr.take().expect("it was piped"));
    let deadline = Instant::now() + COMMAND_MAX;
    let mut finish = |output: Receiver<Vec<u8>>| {
        output.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or_else(|_| {
            // It may have ended by itself at the last moment: that it took too long remains true.
            let _ = child.kill();
            let _ = child.wait();
            panic!("{words} has not ended after {} s", COMMAND_MAX.as_secs())
        })
    };
    let (stdout, stderr) = (finish(stdout), finish(stderr));
    let status = child.wait().expect("a child can be waited for");
    Outcome {
        command: words,
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A program that goes on running. Dropping it kills it, and shows what it said if the test has failed.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    lines: Receiver<String>,
    last: VecDeque<String>,
}

impl Running {
    /// Starts it; all that it says is appended to `<folder>/<name>.log` too.
    #[track_caller]
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        let words = words_of(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{words} does not start: {error}"));
        let log = folder.join(format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(&log).expect("the folder of this test can be written");
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().expect("it was piped"), log.try_clone().expect("a file can be opened twice"), sender.clone());
        forward(child.stderr.take().expect("it was piped"), log, sender);
        Self { name: name.to_owned(), child, lines, last: VecDeque::new() }
    }

    /// The next line that `find` makes something of; lines before it are passed over. Panics if it ends first, or says no such thing in time.
    #[track_caller]
    pub fn wait_for<T>(&mut self, what: &str, limit: Duration, find: impl Fn(&str) -> Option<T>) -> T {
        let outcome = self.next_of(limit, find);
        outcome.unwrap_or_else(|error| {
            let said = self.last_lines();
            match error {
                RecvTimeoutError::Disconnected => panic!("{} ended without {what}:\n{said}", self.name),
                RecvTimeoutError::Timeout => panic!("{}: no {what} in {} s:\n{said}", self.name, limit.as_secs()),
            }
        })
    }

    /// The same; an error if it ends first, or says no such thing in time.
    pub fn next_of<T>(&mut self, limit: Duration, find: impl Fn(&str) -> Option<T>) -> Result<T, RecvTimeoutError> {
        let deadline = Instant::now() + limit;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))?;
            let found = find(&line);
            self.remember(line);
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: it gets no chance to tidy up.
    pub fn kill(mut self) {
        self.child.kill().expect("a child that was not waited for can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// SIGTERM: it is asked to end.
    pub fn ask_to_end(&self) {
        self.signal("TERM");
    }

    /// Any signal, by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(status.expect("there is a shell").success(), "{} could not be sent {name}", self.name);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        // Both of its outputs end with it.
        if let Err(RecvTimeoutError::Timeout) = self.next_of(limit, |_| None::<()>) {
            let said = self.last_lines();
            panic!("{} has not ended in {} s:\n{said}", self.name, limit.as_secs());
        }
        self.child.wait().expect("a child can be waited for")
    }

    /// What it said last.
    pub fn last_lines(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.remember(line);
        }
        self.last.iter().map(|line| format!("    {line}\n")).collect()
    }

    fn remember(&mut self, line: String) {
        if self.last.len() == LINES_SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; what counts is that it has.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = self.last_lines();
            eprintln!("--- {} said last:\n{said}", self.name);
        }
    }
}

fn words_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy().into_owned());
    words.collect::<Vec<_>>().join(" ")
}

/// Reads to the end on a thread, so that neither of two pipes fills up while the other is read.
fn read_aside(mut output: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth showing; nobody may be listening any more.
        let _ = output.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

fn forward(output: impl Read + Send + 'static, mut log: File, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            // The folder may be going away with the test, and nobody may be listening any more: the pipe is emptied all the same.
            // One write for a line and its end: standard output and standard error are appended to the same file.
            let _ = log.write_all(format!("{line}\n").as_bytes());
            let _ = lines.send(line);
        }
    });
}
