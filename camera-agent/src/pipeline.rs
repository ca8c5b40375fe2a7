//! The media pipeline: from a source through x264 (or as the camera sends it) to CMAF chunks, and from those to fragments of segments.
//!
//! The only module that uses GStreamer. It knows no keys, no appliance and no disk.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use exhibit_camera_core::Input;
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::{AppSink, AppSinkCallbacks};
use tokio::sync::mpsc::Sender;

use crate::{
    Source,
    outlet::{Offer, Outlet},
    segmenter::{Chunk, Segmenter, SegmenterError},
};

/// A segment reaches this length before it ends at the next key frame; the muxer asks the encoder for one.
const SEGMENT_MS: u64 = 2_000;
/// A fragment is about this long: what is encrypted, proven and lost alone.
const FRAGMENT_MS: u64 = 500;
/// Constant quality (x264's CRF): a still street costs little, and a crowd gets what it needs.
const QUALITY: u32 = 23;
/// Should the muxer's wish for key frames get lost, the encoder makes one after so many frames anyway.
const KEY_FRAME_FRAMES_MAX: u32 = 250;
/// A source that sends nothing for so long is lost, and a pipeline that is stuck is found. An RTSP camera gets time to set up.
const STALL_MAX: Duration = Duration::from_secs(20);
/// After being asked to stop, so long for the last chunk to come through.
const STOP_MAX: Duration = Duration::from_secs(5);
/// How often a silent bus is left to look at the clock.
const LOOK_INTERVAL_MS: u64 = 500;
/// Of GStreamer's explanation of an error.
const DETAIL_LINES_MAX: usize = 2;
/// The application message that wakes whoever waits on the bus.
const WAKE: &str = "exhibit-wake";

/// What to play, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSettings {
    /// Where pictures come from.
    pub source: Source,
    /// A file is played as fast as it was filmed; else, and the test picture too, as fast as it can be encoded.
    pub live_speed: bool,
    /// Added to every running time: a pipeline that replaces a broken one goes on counting where that one stands.
    pub offset_ms: u64,
}

/// How a pipeline ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There is no more.
    Source,
    /// It was asked to, and the last chunk has come through (or `STOP_MAX` has passed).
    Stopped,
    /// Nobody takes its fragments any more.
    ConsumerGone,
}

/// Why there is no video, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// GStreamer itself.
    #[error("GStreamer can not be used ({0}): install gstreamer1.0-plugins-base, -good, -bad, -ugly and gstreamer1.0-libav")]
    Library(String),
    /// A plug-in is missing.
    #[error("GStreamer's element {element} is missing: install {package}")]
    MissingElement {
        /// Which.
        element: &'static str,
        /// Debian's package that has it.
        package: &'static str,
    },
    /// No plug-in decodes it.
    #[error("{what} can not be decoded: install gstreamer1.0-libav, or convert it to H.264 ({reason})")]
    NoDecoder {
        /// Which source.
        what: String,
        /// GStreamer's words.
        reason: String,
    },
    /// The source can not be read.
    #[error("{what} can not be read ({reason}): check the address, the permissions and that it is video")]
    Source {
        /// Which source.
        what: String,
        /// GStreamer's or the system's words.
        reason: String,
    },
    /// The end came before the first segment, or there is sound only.
    #[error("there is no video in {what} that could be recorded: is it video, in H.264 if it is a camera?")]
    NothingRecorded {
        /// Which source.
        what: String,
    },
    /// Silence.
    #[error("{what} has sent nothing for {} s: check the camera and the network", STALL_MAX.as_secs())]
    Stalled {
        /// Which source.
        what: String,
    },
    /// A camera that says that there is no more.
    #[error("{what} has closed the stream: check the camera")]
    Closed {
        /// Which source.
        what: String,
    },
    /// What came can not be cut into segments.
    #[error(transparent)]
    Segmenter(#[from] SegmenterError),
}

impl PipelineError {
    /// A camera may be back in a moment; a plug-in that is missing stays missing.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Library(_) | Self::MissingElement { .. } | Self::NoDecoder { .. } | Self::Segmenter(_) => false,
            Self::Source { .. } | Self::NothingRecorded { .. } | Self::Stalled { .. } | Self::Closed { .. } => true,
        }
    }
}

/// A pipeline that plays. Dropping it stops it at once; what is not yet a whole chunk is lost.
#[derive(Debug)]
pub struct Pipeline {
    pipeline: gst::Pipeline,
    source: Source,
    stop: Arc<AtomicBool>,
    state: Arc<State>,
}

/// Asks a pipeline to stop, from any thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    pipeline: gst::glib::WeakRef<gst::Pipeline>,
    stop: Arc<AtomicBool>,
}

/// Shared between the thread that waits and GStreamer's own. Who may ask to stop does not share it: it holds the consumer's channel open.
#[derive(Debug)]
struct State {
    recorder: Mutex<Recorder>,
}

/// Takes what the muxer makes; on GStreamer's thread.
#[derive(Debug)]
struct Recorder {
    segmenter: Segmenter,
    outlet: Outlet,
    offset_ms: u64,
    recorded: bool,
    last_chunk: Instant,
    failure: Option<PipelineError>,
    consumer_gone: bool,
}

impl Pipeline {
    /// Builds the pipeline and starts to play; fragments go to `inputs`. It sends neither `EndOfSource` nor `Stop`: that is for whoever waits
    /// for its end.
    pub fn start(settings: &MediaSettings, inputs: Sender<Input>) -> Result<Self, PipelineError> {
        check(&settings.source)?;
        let (pipeline, sink) = build(settings)?;
        let state = Arc::new(State {
            recorder: Mutex::new(Recorder {
                segmenter: Segmenter::default(),
                outlet: Outlet::new(inputs, settings.source.is_live()),
                offset_ms: settings.offset_ms,
                recorded: false,
                last_chunk: Instant::now(),
                failure: None,
                consumer_gone: false,
            }),
        });
        let (recorder, bus_owner) = (Arc::clone(&state), pipeline.downgrade());
        let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let mut recorder = recorder.recorder();
            recorder.sample(&sample).inspect_err(|_| {
                if let Some(pipeline) = bus_owner.upgrade() {
                    wake(&pipeline);
                }
            })
        });
        sink.set_callbacks(callbacks.build());
        watch_for_video(&pipeline, &settings.source, &state);
        let playing = Self { pipeline, source: settings.source.clone(), stop: Arc::default(), state };
        match playing.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(playing),
            Err(_) => Err(playing.first_error()),
        }
    }

    /// Something that can ask this pipeline to stop.
    pub fn stopper(&self) -> Stopper {
        Stopper { pipeline: self.pipeline.downgrade(), stop: Arc::clone(&self.stop) }
    }

    /// Waits for the end; blocks the thread.
    pub fn wait(self) -> Result<Ended, PipelineError> {
        let bus = self.pipeline.bus().expect("a pipeline has a bus");
        let mut stop_deadline = None;
        loop {
            let message = bus.timed_pop(gst::ClockTime::from_mseconds(LOOK_INTERVAL_MS));
            if self.stop.load(Ordering::Acquire) {
                let deadline = *stop_deadline.get_or_insert_with(|| Instant::now() + STOP_MAX);
                if Instant::now() >= deadline {
                    tracing::warn!("the pipeline did not end in time; the last half second may be missing");
                    return Ok(Ended::Stopped);
                }
            }
            let stopping = stop_deadline.is_some();
            // The muxer's thread holds this lock while it waits for a slow consumer of a file, so nobody waits for the lock here.
            if let Ok(mut recorder) = self.state.recorder.try_lock() {
                if let Some(failure) = recorder.failure.take() {
                    return Err(failure);
                }
                if recorder.consumer_gone {
                    return Ok(Ended::ConsumerGone);
                }
                if !stopping && recorder.last_chunk.elapsed() > STALL_MAX {
                    return Err(PipelineError::Stalled { what: self.source.to_string() });
                }
            }
            let Some(message) = message else { continue };
            match message.view() {
                gst::MessageView::Eos(_) if stopping => return Ok(Ended::Stopped),
                gst::MessageView::Eos(_) if self.state.recorder().recorded => return Ok(Ended::Source),
                gst::MessageView::Eos(_) => return Err(PipelineError::NothingRecorded { what: self.source.to_string() }),
                // Cut short before the first frame, some elements complain; that is no fault.
                gst::MessageView::Error(_) if stopping => return Ok(Ended::Stopped),
                gst::MessageView::Error(error) => return Err(self.judge(&error.error(), error.debug().as_deref())),
                gst::MessageView::Warning(warning) => {
                    tracing::warn!("GStreamer warns: {}", self.source.redact(&warning.error().to_string()));
                }
                _ => {}
            }
        }
    }

    /// After a refused start, the bus says why.
    fn first_error(&self) -> PipelineError {
        let bus = self.pipeline.bus().expect("a pipeline has a bus");
        while let Some(message) = bus.pop() {
            if let gst::MessageView::Error(error) = message.view() {
                return self.judge(&error.error(), error.debug().as_deref());
            }
        }
        PipelineError::Source { what: self.source.to_string(), reason: "the pipeline does not start".into() }
    }

    /// Whose fault it is, and what to do.
    fn judge(&self, error: &gst::glib::Error, debug: Option<&str>) -> PipelineError {
        let what = self.source.to_string();
        // The first line of the debug text names an element and a line of C; those after it say what happened.
        let detail: String =
            debug.unwrap_or_default().lines().skip(1).take(DETAIL_LINES_MAX).map(|line| format!(" {}", line.trim())).collect();
        let reason = self.source.redact(&format!("{error}{detail}"));
        if error.matches(gst::CoreError::MissingPlugin) || error.matches(gst::StreamError::CodecNotFound) {
            return PipelineError::NoDecoder { what, reason };
        }
        PipelineError::Source { what, reason }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // A consumer that has stopped taking must not keep the muxer's thread, for which this waits: see `Outlet`, whose channel is closed by
        // whoever ends first. Going to Null can not fail.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Stopper {
    /// Ends the recording after what has been encoded so far; `Pipeline::wait` returns when the last chunk has come through.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let Some(pipeline) = self.pipeline.upgrade() else { return };
        wake(&pipeline);
        // Sent into the middle, so that a file that is read ahead ends now; on another thread, since it waits for the frame under way.
        pipeline.call_async(|pipeline| {
            if let Some(pad) = pipeline.by_name("gate").and_then(|gate| gate.static_pad("sink")) {
                pad.send_event(gst::event::Eos::new());
            }
        });
    }
}

impl State {
    /// GStreamer catches a panic of its callbacks and reports it as an error; the recorder is then used for no more than its flags.
    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// A sample is a list of buffers: `ftyp` and `moov` first if they are new, then `moof` with what belongs to it, once or more often.
    fn sample(&mut self, sample: &gst::Sample) -> Result<gst::FlowSuccess, gst::FlowError> {
        let list = sample.buffer_list_owned().or_else(|| sample.buffer_owned().map(|buffer| [buffer].into_iter().collect()));
        let Some(list) = list else { return Ok(gst::FlowSuccess::Ok) };
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let mut chunk: Option<Chunk> = None;
        for buffer in list.iter() {
            let bytes = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let flags = buffer.flags();
            if flags.contains(gst::BufferFlags::HEADER) {
                if let Some(whole) = chunk.take() {
                    self.offer(whole)?;
                }
                if flags.contains(gst::BufferFlags::DISCONT) {
                    self.segmenter.header(bytes.to_vec());
                    continue;
                }
                // Raw time stamps begin at 1000 hours; running time begins when the pipeline does.
                let start = segment.and_then(|segment| segment.to_running_time(buffer.pts()));
                chunk = Some(Chunk {
                    bytes: bytes.to_vec(),
                    key_frame: !flags.contains(gst::BufferFlags::DELTA_UNIT),
                    start_ms: self.offset_ms + start.map_or(0, |start| start.mseconds()),
                    duration_ms: buffer.duration().map_or(0, |duration| duration.mseconds()),
                });
            } else if let Some(chunk) = &mut chunk {
                chunk.bytes.extend_from_slice(&bytes);
            }
        }
        if let Some(whole) = chunk {
            self.offer(whole)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn offer(&mut self, chunk: Chunk) -> Result<(), gst::FlowError> {
        let fragment = self.segmenter.chunk(chunk).map_err(|error| {
            self.failure = Some(error.into());
            gst::FlowError::Error
        })?;
        let start_ms = fragment.start_ms;
        let offer = self.outlet.offer(fragment);
        // Not before: a file may have waited long for its consumer, which is not its silence.
        self.last_chunk = Instant::now();
        match offer {
            Offer::Taken => self.recorded = true,
            Offer::DroppedFirst => {
                tracing::warn!(start_ms, "sealing can not keep up with the source: video is dropped, and a gap will say so");
            }
            Offer::Dropped => {}
            Offer::ConsumerGone => {
                self.consumer_gone = true;
                return Err(gst::FlowError::Eos);
            }
        }
        Ok(())
    }
}

/// A source that has no video (or a camera that has none in H.264) may never say so: its sound goes nowhere, and no end comes. So it is
/// looked for where all that it has is known.
fn watch_for_video(pipeline: &gst::Pipeline, source: &Source, state: &Arc<State>) {
    let name = match source {
        Source::File(_) => "streams",
        Source::Rtsp(_) => "source",
        Source::Test { .. } => return,
    };
    let streams = pipeline.by_name(name).expect("the description names it");
    let (pipeline, state, what) = (pipeline.downgrade(), Arc::clone(state), source.to_string());
    streams.connect("no-more-pads", false, move |_| {
        let pipeline = pipeline.upgrade()?;
        let gate = pipeline.by_name("gate").and_then(|gate| gate.static_pad("sink")).expect("the description names it");
        // Whatever stands before the gate is linked to it; what matters is whether something feeds that.
        let first = std::iter::successors(Some(gate), |pad| pad.peer()?.parent_element()?.static_pad("sink")).last();
        if !first.is_some_and(|pad| pad.is_linked()) {
            state.recorder().failure = Some(PipelineError::NothingRecorded { what: what.clone() });
            wake(&pipeline);
        }
        None
    });
}

/// Posts a message of our own, so that whoever waits on the bus looks up.
fn wake(pipeline: &gst::Pipeline) {
    let message = gst::message::Application::builder(gst::Structure::new_empty(WAKE)).src(pipeline).build();
    // A flushing bus has nobody waiting.
    let _ = pipeline.post_message(message);
}

/// What can be known of a source before it is played: whether GStreamer has what it needs, and whether a file is there.
pub fn check(source: &Source) -> Result<(), PipelineError> {
    gst::init().map_err(|error| PipelineError::Library(error.to_string()))?;
    gstfmp4::plugin_register_static().map_err(|error| PipelineError::Library(error.to_string()))?;
    check_elements(source)?;
    check_file(source)
}

/// The elements that a source needs, with the Debian packages that have them.
fn check_elements(source: &Source) -> Result<(), PipelineError> {
    const BASE: &str = "gstreamer1.0-plugins-base";
    const GOOD: &str = "gstreamer1.0-plugins-good";
    const BAD: &str = "gstreamer1.0-plugins-bad";
    const UGLY: &str = "gstreamer1.0-plugins-ugly";
    let encode = [("videoconvert", BASE), ("x264enc", UGLY), ("h264parse", BAD)];
    let needed: &[(&'static str, &'static str)] = match source {
        Source::File(_) => &[&[("decodebin", BASE)][..], &encode].concat(),
        Source::Test { .. } => &[&[("videotestsrc", BASE)][..], &encode].concat(),
        Source::Rtsp(_) => &[("rtspsrc", GOOD), ("rtph264depay", GOOD), ("h264parse", BAD), ("h264timestamper", BAD)],
    };
    match needed.iter().find(|(element, _)| gst::ElementFactory::find(element).is_none()) {
        Some((element, package)) => Err(PipelineError::MissingElement { element, package }),
        None => Ok(()),
    }
}

/// A file that is not there is said in the system's words, which are better than GStreamer's.
fn check_file(source: &Source) -> Result<(), PipelineError> {
    let Source::File(path) = source else { return Ok(()) };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(PipelineError::Source { what: source.to_string(), reason: "it is not a file".into() }),
        Err(error) => Err(PipelineError::Source { what: source.to_string(), reason: error.to_string() }),
    }
}

/// The pipeline and its end. What the configuration says is set as properties, never as part of the description.
fn build(settings: &MediaSettings) -> Result<(gst::Pipeline, AppSink), PipelineError> {
    let encode = format!(
        "videoconvert name=gate ! video/x-raw,format=I420 \
         ! x264enc bframes=0 tune=zerolatency speed-preset=veryfast pass=qual quantizer={QUALITY} key-int-max={KEY_FRAME_FRAMES_MAX} ! h264parse"
    );
    let live_speed = settings.live_speed;
    let source = match &settings.source {
        Source::File(_) => format!("filesrc name=source ! decodebin name=streams ! clocksync sync={live_speed} ! {encode}"),
        Source::Test { .. } => format!(
            "videotestsrc name=source pattern=ball is-live={live_speed} ! video/x-raw,width=640,height=360,framerate=20/1 ! {encode}"
        ),
        Source::Rtsp(_) => "rtspsrc name=source latency=200 ! application/x-rtp,media=video,encoding-name=H264 \
                            ! rtph264depay name=gate ! h264parse ! h264timestamper"
            .to_owned(),
    };
    let fragment_ns = gst::ClockTime::from_mseconds(FRAGMENT_MS).nseconds();
    let segment_ns = gst::ClockTime::from_mseconds(SEGMENT_MS).nseconds();
    let description = format!(
        "{source} ! video/x-h264,stream-format=avc,alignment=au \
         ! cmafmux fragment-duration={segment_ns} chunk-duration={fragment_ns} header-update-mode=none write-mehd=false \
         ! appsink name=sink sync=false async=false buffer-list=true"
    );
    let broken = |error: gst::glib::Error| PipelineError::Library(error.to_string());
    let pipeline = gst::parse::launch(&description).map_err(broken)?.downcast::<gst::Pipeline>().expect("several elements are a pipeline");
    let element = pipeline.by_name("source").expect("the description names it");
    match &settings.source {
        Source::File(path) => element.set_property("location", path),
        Source::Test { frames: Some(frames) } => element.set_property("num-buffers", i32::try_from(*frames).unwrap_or(i32::MAX)),
        Source::Test { frames: None } => {}
        Source::Rtsp(address) => element.set_property("location", address),
    }
    let sink = pipeline.by_name("sink").expect("the description names it").downcast::<AppSink>().expect("it is an appsink");
    Ok((pipeline, sink))
}
