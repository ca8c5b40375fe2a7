//! Links between cameras and the appliance, and how they break: a relay on loopback that cuts, goes deaf, is slow, or stalls.
//!
//! It does not know what it carries.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use exhibit_e2e::seed::Dice;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What a link does to its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weather {
    /// Carries everything.
    Good,
    /// Breaks in the middle of what is sent.
    Cutting,
    /// Carries what is sent, and breaks instead of bringing the answer: what was taken is sent again.
    Deaf,
    /// Has hardly more room than its video takes.
    Slow,
    /// After a while it carries nothing more and says nothing, as a mobile link in a tunnel.
    Stalling,
}

impl Weather {
    /// Each kind, for cameras one after the other; every other link is good.
    pub const MIXED: [Self; 8] = [Self::Good, Self::Cutting, Self::Good, Self::Deaf, Self::Good, Self::Slow, Self::Good, Self::Stalling];
}

/// A handshake with certificates is below this: what breaks, breaks in an upload.
const HANDSHAKE_BYTES: u64 = 16 * 1024;
/// A connection that is to break does so within this: one or two segments, of which some come through.
const BREAKS_WITHIN_BYTES: u64 = 1 << 20;
/// The first of a link does so in its first segment, however short the run; and each that stalls, so that a camera behind it comes to a halt.
const BREAKS_AT_FIRST_WITHIN_BYTES: u64 = 128 * 1024;
/// Half above what 1 Mbit/s of video takes.
const SLOW_BYTES_PER_S: u64 = 190_000;
/// As much as is carried at once.
const PIECE_BYTES: usize = 16 * 1024;

/// How often each has happened.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were made.
    pub connections: AtomicU64,
    /// Those that were cut in the middle of what was sent.
    pub cut: AtomicU64,
    /// Answers that were not brought.
    pub unheard: AtomicU64,
    /// Connections that carry nothing any more.
    pub stalled: AtomicU64,
}

/// A link that listens, for any number of cameras. Dropping it takes it down.
pub struct Link {
    address: String,
    storms: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

struct Shared {
    appliance: String,
    weather: Weather,
    counts: Arc<Counts>,
    has_carried: AtomicBool,
    dice: Mutex<Dice>,
}

impl Link {
    /// A link to `appliance`, `host:port`, which may be away at times.
    pub async fn open(appliance: &str, weather: Weather, dice: Dice, counts: Arc<Counts>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (storms, storm) = watch::channel(0);
        let shared = Arc::new(Shared {
            appliance: appliance.to_owned(),
            weather,
            counts,
            has_carried: AtomicBool::new(false),
            dice: Mutex::new(dice),
        });
        let accepting = tokio::spawn(async move {
            while let Ok((camera, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).carry(camera, storm.clone()));
            }
        });
        Ok(Self { address, storms, accepting })
    }

    /// Where cameras connect.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Cuts every connection, all at once.
    pub fn cut_all(&self) {
        self.storms.send_modify(|storm| *storm += 1);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    async fn carry(self: Arc<Self>, camera: TcpStream, mut storm: watch::Receiver<u64>) {
        storm.mark_unchanged();
        // Where the appliance is away, the camera's connection is closed, as by a kernel that has nobody listening.
        let Ok(appliance) = TcpStream::connect(&self.appliance).await else { return };
        if camera.set_nodelay(true).is_err() || appliance.set_nodelay(true).is_err() {
            return;
        }
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        let breaks_at = self.draw_break();
        let sent = AtomicU64::new(0);
        let ((from_camera, to_camera), (from_appliance, to_appliance)) = (camera.into_split(), appliance.into_split());
        tokio::select! {
            _ = storm.changed() => {}
            _ = self.send(from_camera, to_appliance, breaks_at, &sent) => {}
            _ = self.answer(from_appliance, to_camera, breaks_at, &sent) => {}
        }
    }

    /// After how many bytes from the camera a connection of this weather breaks.
    fn draw_break(&self) -> u64 {
        let is_first = !self.has_carried.swap(true, Ordering::Relaxed);
        let early = is_first || self.weather == Weather::Stalling;
        let within = if early { BREAKS_AT_FIRST_WITHIN_BYTES } else { BREAKS_WITHIN_BYTES };
        HANDSHAKE_BYTES + self.dice.lock().expect("nothing panics while it holds the dice").below(within)
    }

    async fn send(
        &self,
        mut camera: impl AsyncReadExt + Unpin,
        mut appliance: impl AsyncWriteExt + Unpin,
        breaks_at: u64,
        sent: &AtomicU64,
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = camera.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            if self.weather == Weather::Slow {
                sleep(Duration::from_micros(length as u64 * 1_000_000 / SLOW_BYTES_PER_S)).await;
            }
            let broken = sent.fetch_add(length as u64, Ordering::Relaxed) + length as u64 > breaks_at;
            match self.weather {
                Weather::Cutting if broken => {
                    self.counts.cut.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Weather::Stalling if broken => {
                    self.counts.stalled.fetch_add(1, Ordering::Relaxed);
                    return std::future::pending().await;
                }
                _ => appliance.write_all(&piece[..length]).await?,
            }
        }
    }

    async fn answer(
        &self,
        mut appliance: impl AsyncReadExt + Unpin,
        mut camera: impl AsyncWriteExt + Unpin,
        breaks_at: u64,
        sent: &AtomicU64,
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = appliance.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            if self.weather == Weather::Deaf && sent.load(Ordering::Relaxed) > breaks_at {
                self.counts.unheard.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            camera.write_all(&piece[..length]).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends more than any connection that is to break carries, to one that answers each piece; how much was answered.
    async fn answered(weather: Weather) -> (u64, Arc<Counts>) {
        let appliance = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = appliance.local_addr().expect("it is bound").to_string();
        tokio::spawn(async move {
            let (mut taken, _) = appliance.accept().await.expect("somebody connects");
            let mut piece = [0; 1024];
            while taken.read_exact(&mut piece).await.is_ok() && taken.write_all(&[1]).await.is_ok() {}
        });
        let counts = Arc::new(Counts::default());
        let link = Link::open(&address, weather, Dice::of(7), Arc::clone(&counts)).await.expect("a port is free");
        let mut camera = TcpStream::connect(link.address()).await.expect("the link listens");
        let mut answered = 0;
        for _ in 0..2048 {
            if camera.write_all(&[7; 1024]).await.is_err() || camera.read_exact(&mut [0]).await.is_err() {
                break;
            }
            answered += 1024;
        }
        (answered, counts)
    }

    #[tokio::test]
    async fn each_weather_does_what_it_is_named_for() {
        let (whole, counts) = answered(Weather::Good).await;
        assert_eq!((whole, counts.cut.load(Ordering::Relaxed)), (2 << 20, 0));
        for (weather, what) in [(Weather::Cutting, "cut"), (Weather::Deaf, "unheard")] {
            let (answered, counts) = answered(weather).await;
            let count = if weather == Weather::Cutting { &counts.cut } else { &counts.unheard };
            assert_eq!(count.load(Ordering::Relaxed), 1, "{what}");
            assert!(
                (HANDSHAKE_BYTES - 1024..HANDSHAKE_BYTES + BREAKS_AT_FIRST_WITHIN_BYTES).contains(&answered),
                "{what} after {answered} bytes"
            );
        }
    }
}
