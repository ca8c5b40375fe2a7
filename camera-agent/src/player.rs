//! Plays a source to its end on a thread of its own, and looks again for a camera that was lost.
//!
//! It knows no GStreamer: a pipeline is started, waited for and asked to stop.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use exhibit_camera_core::{Delay, Input};
use tokio::sync::mpsc::Sender;

use crate::{Ended, MediaSettings, Pipeline, PipelineError, Stopper};

/// How soon a lost camera is looked for again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A source that is being played.
pub struct Player {
    thread: JoinHandle<Result<Ended, PipelineError>>,
    stop: Arc<Stop>,
}

/// Whether somebody asked to stop, and what to tell then.
#[derive(Default)]
struct Stop {
    state: Mutex<(bool, Option<Stopper>)>,
    asked: Condvar,
}

impl Player {
    /// Begins to play; fragments and the end go to `inputs`, and `lost` hears of each loss of a live source.
    pub fn start(settings: MediaSettings, inputs: Sender<Input>, lost: impl Fn(&Delay) + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("player".to_owned()).spawn(move || {
            let outcome = play(settings, &inputs, &stopped, &lost);
            // A closed channel: the agent has ended, and needs to be told nothing.
            let last: &[Input] = match &outcome {
                Ok(Ended::Source) => &[Input::EndOfSource],
                Ok(Ended::Stopped | Ended::ConsumerGone) => &[Input::Stop],
                Err(_) => &[Input::SourceLost, Input::Stop],
            };
            for input in last {
                drop(inputs.blocking_send(input.clone()));
            }
            outcome
        })?;
        Ok(Self { thread, stop })
    }

    /// Asks it to end after what has been encoded so far.
    pub fn stop(&self) {
        let mut state = self.stop.lock();
        state.0 = true;
        if let Some(stopper) = &state.1 {
            stopper.stop();
        }
        self.stop.asked.notify_all();
    }

    /// How it ended; blocks until it has.
    pub fn wait(self) -> Result<Ended, PipelineError> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn play(mut settings: MediaSettings, inputs: &Sender<Input>, stop: &Stop, lost: &dyn Fn(&Delay)) -> Result<Ended, PipelineError> {
    let began = Instant::now();
    let mut retry = RETRY.0;
    loop {
        settings.offset_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let started = Instant::now();
        let outcome = Pipeline::start(&settings, inputs.clone()).and_then(|pipeline| {
            stop.register(pipeline.stopper());
            pipeline.wait()
        });
        let error = match outcome {
            Ok(Ended::Source) if settings.source.is_live() => PipelineError::Closed { what: settings.source.to_string() },
            Err(error) if settings.source.is_live() && error.may_pass() => error,
            outcome => return outcome,
        };
        if started.elapsed() > RETRY.1 {
            retry = RETRY.0;
        }
        lost(&Delay { reason: error.to_string(), retry_in_ms: u64::try_from(retry.as_millis()).unwrap_or(u64::MAX) });
        if inputs.blocking_send(Input::SourceLost).is_err() {
            return Ok(Ended::ConsumerGone);
        }
        if stop.asked_within(retry) {
            return Ok(Ended::Stopped);
        }
        retry = (retry * 2).min(RETRY.1);
    }
}

impl Stop {
    fn lock(&self) -> MutexGuard<'_, (bool, Option<Stopper>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever asks from now on asks this one; whoever has asked before, too.
    fn register(&self, stopper: Stopper) {
        let mut state = self.lock();
        if state.0 {
            stopper.stop();
        }
        state.1 = Some(stopper);
    }

    fn asked_within(&self, wait: Duration) -> bool {
        let waited = self.asked.wait_timeout_while(self.lock(), wait, |state| !state.0);
        waited.unwrap_or_else(PoisonError::into_inner).0.0
    }
}
