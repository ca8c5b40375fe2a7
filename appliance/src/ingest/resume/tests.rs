//! What is kept of uploads, for whom and how long.

use super::*;
use crate::vault::{Object, StoredObject, VaultError};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Something staged, counted while it is there.
struct Counted(Arc<AtomicUsize>);

impl Staged for Counted {
    fn write(&mut self, _: &[&[u8]]) -> Result<(), VaultError> {
        Ok(())
    }
    fn written(&self) -> Result<Box<dyn StoredObject>, VaultError> {
        Err(VaultError::Read(std::io::Error::other("nothing is there")))
    }
    fn commit(self: Box<Self>, _: Object) -> Result<(), VaultError> {
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Scene {
    staging: Arc<Staging>,
    files: Arc<AtomicUsize>,
}

const AGE_MAX: Duration = Duration::from_secs(100);

impl Scene {
    fn new(bytes_max: u64, sender_bytes_max: u64, uploads_max: usize) -> Self {
        let limits = StagingLimits { bytes_max, sender_bytes_max, uploads_max, age_max: AGE_MAX };
        Self { staging: Arc::new(Staging::new(limits)), files: Arc::default() }
    }

    fn begin(&self, sender: &str, hash: u8) -> Receiving {
        let place = (StreamName::parse("camera/102/main/1a").unwrap(), 1);
        self.staging.begin(sender, Creation { hash: Hash([hash; 32]), entry: vec![0; 92], place, knows: None, payload_length: 1000 })
    }

    fn file(&self) -> Box<dyn Staged> {
        self.files.fetch_add(1, Ordering::Relaxed);
        Box::new(Counted(self.files.clone()))
    }

    fn keep(&self, sender: &str, hash: u8, received: u64) -> Result<Progress, Refusal> {
        self.begin(sender, hash).keep(self.file(), received)
    }

    async fn received(&self, sender: &str, hash: u8) -> Option<u64> {
        self.staging.settled(sender, &Hash([hash; 32])).await.ok().map(|progress| progress.received)
    }

    fn files(&self) -> usize {
        self.files.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_senders_oldest_makes_room_and_nobody_elses() {
    let scene = Scene::new(1000, 300, 100);
    scene.keep("camera/1", 9, 300).unwrap();
    for hash in 1..=3 {
        scene.keep("camera/2", hash, 150).unwrap();
    }
    assert_eq!(scene.received("camera/2", 1).await, None, "a sender has more than its share");
    assert_eq!((scene.received("camera/2", 2).await, scene.received("camera/2", 3).await), (Some(150), Some(150)));
    assert_eq!(scene.received("camera/1", 9).await, Some(300), "one sender took another's room");
    assert_eq!(scene.keep("camera/2", 4, 301).unwrap_err().kind, Kind::Storage);
    assert_eq!(scene.received("camera/2", 4).await, None);
    assert_eq!(scene.files(), 1, "a file is left, or one too few");
}

#[tokio::test]
async fn a_sender_keeps_few_however_small() {
    let scene = Scene::new(1000, 300, 100);
    for hash in 0..50 {
        scene.keep("camera/1", hash, 0).unwrap();
    }
    assert_eq!(scene.files(), SENDER_UPLOADS_MAX);
}

#[tokio::test]
async fn all_together_keep_no_more_than_there_is_room_for() {
    let scene = Scene::new(500, 300, 100);
    scene.keep("camera/1", 1, 300).unwrap();
    assert_eq!(scene.keep("camera/2", 2, 201).unwrap_err().kind, Kind::Storage, "bytes");
    scene.keep("camera/2", 3, 200).unwrap();
    // What goes on, or has ended, makes room.
    let (receiving, staged) = scene.staging.go_on("camera/1", &Hash([1; 32]), 300).unwrap();
    drop((receiving, staged));
    scene.keep("camera/3", 4, 300).unwrap();

    let few = Scene::new(500, 300, 2);
    few.keep("camera/1", 1, 0).unwrap();
    few.keep("camera/2", 2, 0).unwrap();
    assert_eq!(few.keep("camera/3", 3, 0).unwrap_err().kind, Kind::Storage, "files");
    few.staging.cancel("camera/1", &Hash([1; 32]));
    few.keep("camera/3", 3, 0).unwrap();
    assert_eq!(few.files(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_upload_has_its_time_from_its_first_request_on() {
    let scene = Scene::new(1000, 300, 100);
    scene.keep("camera/1", 1, 10).unwrap();
    tokio::time::advance(AGE_MAX - Duration::from_secs(1)).await;
    let (receiving, staged) = scene.staging.go_on("camera/1", &Hash([1; 32]), 10).unwrap();
    receiving.keep(staged, 20).unwrap();
    assert_eq!(scene.received("camera/1", 1).await, Some(20));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(scene.received("camera/1", 1).await, None, "to go on gives more time");
    assert_eq!(scene.files(), 1);
    scene.staging.sweep();
    assert_eq!(scene.files(), 0, "what is too old is still there");
    scene.keep("camera/1", 2, 300).unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_asks_waits_for_the_end_of_what_is_under_way() {
    let scene = Scene::new(1000, 300, 100);
    let receiving = scene.begin("camera/1", 1);
    let hears = async {
        receiving.stopped().await;
        receiving.keep(scene.file(), 70).unwrap();
    };
    let (received, ()) = tokio::join!(scene.received("camera/1", 1), hears);
    assert_eq!(received, Some(70));

    // One that hears nothing is not waited for without end.
    let _deaf = scene.begin("camera/1", 2);
    let refused = scene.staging.settled("camera/1", &Hash([2; 32])).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Overloaded);
}

#[tokio::test]
async fn of_two_that_go_on_one_does() {
    let scene = Scene::new(1000, 300, 100);
    scene.keep("camera/1", 1, 50).unwrap();
    let first = scene.staging.go_on("camera/1", &Hash([1; 32]), 50);
    assert!(scene.staging.go_on("camera/1", &Hash([1; 32]), 50).is_err(), "two went on with one upload");
    let (receiving, staged) = first.unwrap();
    receiving.keep(staged, 60).unwrap();
    assert!(scene.staging.go_on("camera/1", &Hash([1; 32]), 50).is_err(), "from where it is not any more");
}

#[tokio::test]
async fn what_is_begun_anew_or_dropped_is_not_kept_by_who_began_before() {
    let scene = Scene::new(1000, 300, 100);
    let first = scene.begin("camera/1", 1);
    let second = scene.begin("camera/1", 1);
    first.stopped().await;
    assert!(first.keep(scene.file(), 10).is_err());
    second.keep(scene.file(), 20).unwrap();
    assert_eq!(scene.received("camera/1", 1).await, Some(20), "the first request overwrote the second");
    let third = scene.begin("camera/1", 1);
    assert!(scene.staging.cancel("camera/1", &Hash([1; 32])));
    assert!(third.keep(scene.file(), 30).is_err(), "what was cancelled is kept");
    assert_eq!((scene.received("camera/1", 1).await, scene.files()), (None, 0));
}

#[tokio::test]
async fn the_newest_that_was_admitted_is_remembered() {
    let scene = Scene::new(1000, 300, 100);
    for hash in 1..=3 {
        scene.begin("camera/1", hash).done();
    }
    let newest = scene.staging.settled("camera/1", &Hash([3; 32])).await.unwrap();
    assert_eq!((newest.is_done, newest.offset()), (true, 1100));
    assert_eq!(scene.received("camera/1", 2).await, None, "each segment of a camera stays in memory");
    assert!(scene.staging.go_on("camera/1", &Hash([3; 32]), 1000).is_err(), "it was admitted, and goes on");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_what_is_being_judged_waits_for_that() {
    let scene = Scene::new(1000, 300, 100);
    let expected = scene.staging.expect("camera/1", Hash([1; 32]));
    assert_eq!(scene.received("camera/2", 1).await, None, "another's");
    let judged = async {
        tokio::task::yield_now().await;
        let receiving = scene.begin("camera/1", 1);
        drop(expected);
        receiving.stopped().await;
        receiving.keep(scene.file(), 70).unwrap();
    };
    let (received, ()) = tokio::join!(scene.received("camera/1", 1), judged);
    assert_eq!(received, Some(70), "there is no such upload yet");
    let refused = async {
        let _expected = scene.staging.expect("camera/1", Hash([2; 32]));
        tokio::task::yield_now().await;
    };
    let (received, ()) = tokio::join!(scene.received("camera/1", 2), refused);
    assert_eq!(received, None);
    assert!(scene.staging.lock().expected.is_empty());
}

#[tokio::test]
async fn what_was_admitted_by_another_way_is_kept_no_longer() {
    let scene = Scene::new(1000, 300, 100);
    scene.keep("camera/1", 1, 300).unwrap();
    assert!(scene.staging.is_kept("camera/1", &Hash([1; 32])));
    scene.staging.was_admitted("camera/1", &Hash([1; 32]));
    assert!(!scene.staging.is_kept("camera/1", &Hash([1; 32])));
    assert!(scene.staging.settled("camera/1", &Hash([1; 32])).await.unwrap().is_done);
    assert_eq!(scene.files(), 0, "a file is left");
    scene.keep("camera/1", 2, 300).unwrap();
    assert!(scene.staging.is_kept("camera/1", &Hash([2; 32])), "its share was not given back");
    scene.staging.was_admitted("camera/1", &Hash([9; 32]));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_all_makes_room_on_the_disk() {
    let scene = Scene::new(1000, 300, 100);
    for sender in 1..=3 {
        scene.keep(&format!("camera/{sender}"), sender, 100).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let _receiving = scene.begin("camera/4", 4);
    let own = (String::from("camera/1"), Hash([1; 32]));
    assert!(scene.staging.give_up_oldest(Some((&own.0, &own.1))));
    assert_eq!((scene.received("camera/1", 1).await, scene.received("camera/2", 2).await), (Some(100), None));
    assert!(scene.staging.give_up_oldest(None));
    assert!(scene.staging.give_up_oldest(None));
    assert!(!scene.staging.give_up_oldest(None), "what is being sent is given up");
    assert_eq!(scene.files(), 0);
}

#[tokio::test]
async fn where_nothing_may_be_kept_no_file_is() {
    let scene = Scene::new(0, 300, 100);
    assert_eq!(scene.keep("camera/1", 1, 0).unwrap_err().kind, Kind::Storage);
    assert_eq!(scene.files(), 0);
}
