//! Between the pipeline and a consumer that may be slow: a bounded channel, and what is dropped when it is full.
//!
//! It knows no GStreamer, and nothing of what the consumer does.

use exhibit_camera_core::{Fragment, Input};
use tokio::sync::mpsc::{Sender, error::TrySendError};

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The consumer has it.
    Taken,
    /// The consumer is too slow: this one and the rest of its segment are dropped.
    DroppedFirst,
    /// Dropped as part of what is being dropped already.
    Dropped,
    /// The consumer has ended; there is no use in going on.
    ConsumerGone,
}

/// The pipeline's end of the channel.
///
/// A file can wait, so it waits. A live source can not: whole segments are dropped from where the channel was full, and the consumer is told
/// by `Input::SourceLost`, so that it states a gap and no segment has a hole.
#[derive(Debug)]
pub struct Outlet {
    inputs: Sender<Input>,
    live: bool,
    dropping: bool,
}

impl Outlet {
    /// For a source that waits (`live` false) or does not. The channel has at least two places: a gap is told together with what follows it.
    pub fn new(inputs: Sender<Input>, live: bool) -> Self {
        assert!(inputs.max_capacity() >= 2, "the channel has room for a gap and the fragment after it");
        Self { inputs, live, dropping: false }
    }

    /// Hands a fragment over; called from the pipeline's own thread, never from an asynchronous task.
    pub fn offer(&mut self, fragment: Fragment) -> Offer {
        if !self.live {
            return match self.inputs.blocking_send(Input::Fragment(fragment)) {
                Ok(()) => Offer::Taken,
                Err(_) => Offer::ConsumerGone,
            };
        }
        if self.dropping {
            // Only a new segment with a key frame can be taken up again, and only together with the word about the gap before it.
            if !(fragment.begins_segment && fragment.random_access) {
                return Offer::Dropped;
            }
            return match self.inputs.try_reserve_many(2) {
                Ok(mut places) => {
                    places.next().expect("two places were reserved").send(Input::SourceLost);
                    places.next().expect("two places were reserved").send(Input::Fragment(fragment));
                    self.dropping = false;
                    Offer::Taken
                }
                Err(TrySendError::Full(())) => Offer::Dropped,
                Err(TrySendError::Closed(())) => Offer::ConsumerGone,
            };
        }
        match self.inputs.try_send(Input::Fragment(fragment)) {
            Ok(()) => Offer::Taken,
            Err(TrySendError::Full(_)) => {
                self.dropping = true;
                Offer::DroppedFirst
            }
            Err(TrySendError::Closed(_)) => Offer::ConsumerGone,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Fragment `number`, with a key frame at every fourth.
    fn fragment(number: u64) -> Fragment {
        let first = number.is_multiple_of(4);
        Fragment { bytes: vec![0; 10], begins_segment: first, random_access: first, start_ms: number * 500, duration_ms: 500 }
    }

    fn drain(receiver: &mut Receiver<Input>) -> Vec<String> {
        let mut seen = vec![];
        while let Ok(input) = receiver.try_recv() {
            seen.push(match input {
                Input::Fragment(fragment) => (fragment.start_ms / 500).to_string(),
                other => format!("{other:?}"),
            });
        }
        seen
    }

    #[test]
    fn a_slow_consumer_of_a_live_source_misses_whole_segments_and_is_told() {
        let (sender, mut receiver) = channel(5);
        let mut outlet = Outlet::new(sender, true);
        let offers: Vec<_> = (0..10).map(|number| outlet.offer(fragment(number))).collect();
        assert_eq!(offers[..5], [Offer::Taken; 5]);
        assert_eq!(offers[5], Offer::DroppedFirst);
        assert_eq!(offers[6..], [Offer::Dropped; 4], "the channel is full at segment 8 too");
        assert_eq!(drain(&mut receiver), ["0", "1", "2", "3", "4"]);
        // There is room again, yet segment 8 has begun without us.
        assert_eq!(outlet.offer(fragment(10)), Offer::Dropped);
        assert_eq!(outlet.offer(fragment(11)), Offer::Dropped);
        for number in 12..15 {
            assert_eq!(outlet.offer(fragment(number)), Offer::Taken);
        }
        assert_eq!(drain(&mut receiver), ["SourceLost", "12", "13", "14"], "a segment with a hole, or a gap that nobody hears of");
    }

    #[test]
    fn a_gap_is_never_dropped_for_lack_of_room() {
        let (sender, mut receiver) = channel(2);
        let mut outlet = Outlet::new(sender, true);
        let offers: Vec<_> = (0..3).map(|number| outlet.offer(fragment(number))).collect();
        assert_eq!(offers, [Offer::Taken, Offer::Taken, Offer::DroppedFirst]);
        receiver.try_recv().unwrap();
        // One place is not enough for the gap and the fragment: neither is sent.
        assert_eq!(outlet.offer(fragment(4)), Offer::Dropped);
        assert_eq!(drain(&mut receiver), ["1"]);
    }

    #[test]
    fn a_file_waits_for_its_consumer_and_loses_nothing() {
        let (sender, mut receiver) = channel(2);
        let mut outlet = Outlet::new(sender, false);
        let producer = std::thread::spawn(move || (0..20).map(|number| outlet.offer(fragment(number))).collect::<Vec<_>>());
        let mut taken = 0;
        while let Some(Input::Fragment(fragment)) = receiver.blocking_recv() {
            assert_eq!(fragment.start_ms, taken * 500);
            taken += 1;
        }
        assert_eq!(taken, 20);
        assert_eq!(producer.join().unwrap(), [Offer::Taken; 20]);
    }

    #[test]
    fn a_consumer_that_has_ended_ends_the_pipeline() {
        for live in [false, true] {
            let (sender, receiver) = channel(2);
            drop(receiver);
            assert_eq!(Outlet::new(sender, live).offer(fragment(0)), Offer::ConsumerGone);
        }
    }
}
