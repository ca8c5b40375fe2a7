//! Real video through the real pipeline, judged by ffprobe.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use exhibit_camera_agent::{Ended, MediaSettings, Pipeline, PipelineError, Source};
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

#[test]
fn live_speed_is_the_speed_of_life_and_a_stop_keeps_what_was_recorded() {
    let settings = MediaSettings { live_speed: true, ..settings(Source::Test { frames: None }) };
    let (sender, mut receiver) = mpsc::channel(64);
    let began = Instant::now();
    let pipeline = Pipeline::start(&settings, sender).unwrap();
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
    check(&fragments, (recorded_ms / 50) as usize, 50);
    let folder = tempfile::tempdir().unwrap();
    let (frames, _) = decoded_frames(&write(folder.path(), "all.mp4", &fragments.iter().collect::<Vec<_>>()));
    assert_eq!(frames as u64 * 50, recorded_ms);
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
    let text = folder.path().join("text.avi");
    fs::write(&text, "this is not video\n".repeat(1000)).unwrap();
    let missing = folder.path().join("missing.avi");
    for (path, expected) in [(missing, "No such file"), (text, "can not be")] {
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
