//! Real video through the real pipeline, judged by ffprobe.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use exhibit_camera_agent::{Ended, MediaSettings, Pipeline, PipelineError, Player, Source};
use exhibit_camera_core::{Fragment, Input};
use tokio::sync::mpsc;

/// Debian's opencv-doc: 79.5 s of a real surveillance camera, 768x576 at 10 frames a second, MS-MPEG4v3.
const VTEST: &str = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";

fn settings(source: Source) -> MediaSettings {
    MediaSettings { source, live_speed: false, offset_ms: 0 }
}

/// Plays to the end and keeps every fragment.
fn record(settings: &MediaSettings) -> (Result<Ended, PipelineError>, Vec<Fragment>) {
    let (sender, mut receiver) = mpsc::channel(4);
    let pipeline = match Pipeline::start(settings, sender) {
        Ok(pipeline) => pipeline,
        Err(error) => return (Err(error), vec![]),
    };
    let consumer = thread::spawn(move || {
        let mut fragments = vec![];
        while let Some(input) = receiver.blocking_recv() {
            match input {
                Input::Fragment(fragment) => fragments.push(fragment),
                other => panic!("a source that waits lost something: {other:?}"),
            }
        }
        fragments
    });
    let ended = pipeline.wait();
    (ended, consumer.join().unwrap())
}

/// Fragments by segment.
fn segments(fragments: &[Fragment]) -> Vec<Vec<&Fragment>> {
    let mut segments: Vec<Vec<&Fragment>> = vec![];
    for fragment in fragments {
        if fragment.begins_segment {
            segments.push(vec![]);
        }
        segments.last_mut().expect("the first fragment begins a segment").push(fragment);
    }
    segments
}

fn write(folder: &Path, name: &str, fragments: &[&Fragment]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, fragments.iter().flat_map(|fragment| fragment.bytes.iter().copied()).collect::<Vec<u8>>()).unwrap();
    path
}

/// How many frames decode, without a word of complaint, and whether the first is a key frame.
fn decoded_frames(path: &Path) -> (usize, bool) {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=key_frame", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("ffprobe is installed (Debian's ffmpeg)");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.trim().is_empty(), "{} does not decode: {complaints}", path.display());
    let frames = String::from_utf8(output.stdout).unwrap();
    (frames.lines().filter(|line| !line.is_empty()).count(), frames.starts_with('1'))
}

/// For a look by eye: `EXHIBIT_KEEP_MEDIA=/some/folder` keeps what was recorded, and tells sizes.
fn keep(fragments: &[Fragment]) {
    let Some(folder) = std::env::var_os("EXHIBIT_KEEP_MEDIA") else { return };
    for (number, segment) in segments(fragments).iter().enumerate() {
        write(Path::new(&folder), &format!("{number:03}.mp4"), segment);
        let sizes: Vec<_> = segment.iter().map(|fragment| fragment.bytes.len()).collect();
        let duration_ms: u64 = segment.iter().map(|fragment| fragment.duration_ms).sum();
        println!("{number:3} at {:6} ms, {duration_ms:5} ms, {sizes:?}", segment[0].start_ms);
    }
}

/// Every segment plays alone, in about 2 s and 4 fragments; every fragment extends what decodes; nothing is lost or doubled.
fn check(fragments: &[Fragment], frames_total: usize, frame_ms: u64) {
    let folder = tempfile::tempdir().unwrap();
    let segments = segments(fragments);
    keep(fragments);
    let mut frames_seen = 0;
    let mut expected_start_ms = fragments[0].start_ms;
    for (number, segment) in segments.iter().enumerate() {
        let last = number + 1 == segments.len();
        let duration_ms: u64 = segment.iter().map(|fragment| fragment.duration_ms).sum();
        assert!(segment[0].random_access, "segment {number} does not begin with a key frame");
        assert!(segment[0].start_ms.abs_diff(expected_start_ms) <= 2, "segment {number} does not begin where the one before ends");
        assert!(last || (1_900..=2_300).contains(&duration_ms), "segment {number} has {duration_ms} ms");
        assert!(last || (4..=5).contains(&segment.len()), "segment {number} has {} fragments", segment.len());
        let (frames, key_frame) = decoded_frames(&write(folder.path(), &format!("{number}.mp4"), segment));
        assert!(key_frame, "segment {number} does not begin with a key frame, says ffprobe");
        assert_eq!(frames as u64, (duration_ms + frame_ms / 2) / frame_ms, "segment {number} has frames of others, or lost some");
        if number == 1 && !last {
            // A fragment decodes once those before it are there.
            let (first, _) = decoded_frames(&write(folder.path(), "first.mp4", &segment[..1]));
            let (two, _) = decoded_frames(&write(folder.path(), "two.mp4", &segment[..2]));
            assert!(0 < first && first < two && two < frames, "{first}, {two} and {frames} frames");
        }
        frames_seen += frames;
        expected_start_ms = segment[0].start_ms + duration_ms;
    }
    assert_eq!(frames_seen, frames_total, "frames were lost or doubled");
    // All together play as one.
    let whole = write(folder.path(), "whole.mp4", &fragments.iter().collect::<Vec<_>>());
    assert_eq!(decoded_frames(&whole).0, frames_total);
}

#[test]
fn the_test_picture_becomes_segments_that_play_alone() {
    // 127 frames at 20 a second: three segments, and a last one of 7 frames, shorter than a fragment.
    let (ended, fragments) = record(&settings(Source::Test { frames: Some(127) }));
    assert_eq!(ended.unwrap(), Ended::Source);
    check(&fragments, 127, 50);
    assert_eq!(segments(&fragments).len(), 4);
    assert_eq!(fragments.last().unwrap().duration_ms, 350, "the last chunk is what was left");
}

#[test]
fn a_real_clip_becomes_segments_that_play_alone() {
    if !Path::new(VTEST).exists() {
        assert!(std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "vtest.avi is missing: run make packages");
        return;
    }
    let (ended, fragments) = record(&settings(Source::File(VTEST.into())));
    assert_eq!(ended.unwrap(), Ended::Source);
    check(&fragments, 795, 100);
}

/// A file is read ahead; a stop ends it now nevertheless.
#[test]
fn live_speed_is_the_speed_of_life_and_a_stop_keeps_what_was_recorded() {
    let clip = Path::new(VTEST).exists().then(|| (Source::File(VTEST.into()), 100));
    for (source, frame_ms) in [(Source::Test { frames: None }, 50)].into_iter().chain(clip) {
        let (sender, mut receiver) = mpsc::channel(64);
        let began = Instant::now();
        let pipeline = Pipeline::start(&MediaSettings { live_speed: true, ..settings(source) }, sender).unwrap();
        let stopper = pipeline.stopper();
        let waiting = thread::spawn(move || pipeline.wait());
        let mut fragments = vec![];
        while let Some(Input::Fragment(fragment)) = receiver.blocking_recv() {
            fragments.push(fragment);
            if fragments.len() == 5 {
                stopper.stop();
            }
        }
        let elapsed = began.elapsed();
        assert_eq!(waiting.join().unwrap().unwrap(), Ended::Stopped);
        assert!(elapsed >= Duration::from_millis(2_400), "2.5 s of video in {elapsed:?}");
        let recorded_ms: u64 = fragments.iter().map(|fragment| fragment.duration_ms).sum();
        assert!(recorded_ms < 4_000, "it went on for {recorded_ms} ms of video after it was asked to stop");
        check(&fragments, (recorded_ms / frame_ms) as usize, frame_ms);
    }
}

#[test]
fn a_pipeline_that_replaces_another_goes_on_counting() {
    let settings = MediaSettings { offset_ms: 90_000, ..settings(Source::Test { frames: Some(10) }) };
    let (_, fragments) = record(&settings);
    assert_eq!(fragments[0].start_ms, 90_000);
}

#[test]
fn a_consumer_that_ends_ends_the_pipeline() {
    let (sender, mut receiver) = mpsc::channel(2);
    let pipeline = Pipeline::start(&settings(Source::Test { frames: None }), sender).unwrap();
    assert!(receiver.blocking_recv().is_some());
    drop(receiver);
    assert_eq!(pipeline.wait().unwrap(), Ended::ConsumerGone);
}

#[test]
fn a_file_that_is_not_there_or_is_no_video_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    // A second of silence: 8 kHz, 16 bits, one channel.
    let silence =
        [b"RIFF\xa4\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x80\x3e\0\0".as_slice(), &[0; 16_000]]
            .concat();
    for (path, expected) in [
        (folder.path().join("missing.avi"), "No such file"),
        (folder.path().to_owned(), "not a file"),
        (write("text.avi", "this is not video\n".repeat(1000).as_bytes()), "can not be"),
        (write("silence.wav", &silence), "no video"),
    ] {
        let (ended, fragments) = record(&settings(Source::File(path.clone())));
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(path.to_str().unwrap()), "{error}");
        assert!(fragments.is_empty());
    }
}

#[test]
fn a_camera_that_does_not_answer_is_said_so_without_its_password() {
    // Nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (ended, _) = record(&settings(Source::Rtsp(format!("rtsp://admin:s3cret@127.0.0.1:{port}/1"))));
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("can not be read") && error.contains("127.0.0.1"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

/// A camera that speaks RTSP, as a process of its own.
struct RtspCamera {
    process: Child,
    port: u16,
}

impl RtspCamera {
    /// On that port, or on a free one for 0; none if Debian's RTSP server is not installed.
    fn start(port: u16) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rtsp_camera.py");
        let mut process =
            Command::new("/usr/bin/python3").args([script, &port.to_string()]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let camera = Self { process, port: line.trim().parse().unwrap_or(0) };
        assert!(
            camera.port != 0 || std::env::var_os("EXHIBIT_TEST_ALL").is_none(),
            "gir1.2-gst-rtsp-server-1.0 is missing: run make packages"
        );
        (camera.port != 0).then_some(camera)
    }
}

impl Drop for RtspCamera {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Fragments until `enough`, or `None` at the first word of a lost source.
fn take(receiver: &mut mpsc::Receiver<Input>, enough: usize) -> Option<Vec<Fragment>> {
    let mut fragments = vec![];
    while fragments.len() < enough {
        match receiver.blocking_recv().unwrap() {
            Input::Fragment(fragment) => fragments.push(fragment),
            Input::SourceLost => return None,
            other => panic!("{other:?} from a camera that nobody stopped"),
        }
    }
    Some(fragments)
}

/// What comes from the camera is kept as it is; when it is lost, that is said, it is looked for, and time goes on.
#[test]
fn a_camera_that_is_lost_and_comes_back() {
    let Some(camera) = RtspCamera::start(0) else { return };
    let port = camera.port;
    let source = Source::Rtsp(format!("rtsp://127.0.0.1:{port}/camera"));
    let (sender, mut receiver) = mpsc::channel(64);
    let (lost, losses) = std::sync::mpsc::channel();
    let player = Player::start(settings(source), sender, move |delay| drop(lost.send(delay.reason.clone()))).unwrap();
    let before = take(&mut receiver, 13).expect("the camera was lost at once");
    keep(&before);
    for segment in segments(&before).iter().take(2) {
        let duration_ms: u64 = segment.iter().map(|fragment| fragment.duration_ms).sum();
        assert!((1_900..=3_100).contains(&duration_ms), "a segment of {duration_ms} ms");
        let folder = tempfile::tempdir().unwrap();
        assert!(decoded_frames(&write(folder.path(), "segment.mp4", segment)).1, "it does not begin with a key frame");
    }

    drop(camera);
    while take(&mut receiver, usize::MAX).is_some() {}
    assert!(losses.recv().unwrap().contains("127.0.0.1"));
    let camera = RtspCamera::start(port).expect("it could be started before");
    let after = loop {
        if let Some(fragments) = take(&mut receiver, 3) {
            break fragments;
        }
    };
    let (last, first) = (before.last().unwrap(), &after[0]);
    assert!(first.begins_segment && first.random_access);
    assert!(first.start_ms > last.start_ms + last.duration_ms, "time went back from {last:?} to {first:?}");

    player.stop();
    let mut inputs = std::iter::from_fn(|| receiver.blocking_recv());
    assert_eq!(inputs.by_ref().last(), Some(Input::Stop));
    assert_eq!(player.wait().unwrap(), Ended::Stopped);
    drop(camera);
}
