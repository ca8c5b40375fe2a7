//! Two custodians state again what they had stated to a log that was lost: whoever comes first, nothing of the other is barred, and nothing is judged
//! by a set of which not all is there yet.

use exhibit_evidence::body::{Approve, Recipients};
use exhibit_evidence::{Body, SignedStatement};
use exhibit_pki::{KeyPurpose, Role};
use exhibit_tlog::Hash;

use crate::common::*;
use crate::lost::{Lost, Stated, kept};
use crate::{refusal, whole};

const RULE: (u16, &str) = (422, "rule");
const WAITS: (u16, &str) = (409, "recipients-lost");

/// What was stated about camera 102: a set by k, one by l in its place, and k's approval of that.
struct Sets {
    first: Stated,
    second: Stated,
    approval: Stated,
}

struct Two {
    lost: Lost,
    k: Party,
    l: Party,
    camera: Party,
    ended: exhibit_evidence::Anchor,
    set: Recipients,
    stated: Sets,
    _folder: tempfile::TempDir,
}

impl Two {
    /// Their log is lost; the authority has stated again what it had.
    async fn new() -> Self {
        let mut world = World::new().await;
        let l = world.pki.party("user/l", &[Role::Custodian], KeyPurpose::Signing);
        world.introduce(&l.certificate).await;
        let custodians = [&world.custodian, &l].map(|party| *party.certificate.fingerprint()).to_vec();
        let set = Recipients { custodians, threshold: 2, ..world.recipients(1, None) };
        let mut of_k = Writer::new(world.custodian.clone(), "user/k/20261120T115958Z", &world.anchor);
        let mut of_l = Writer::new(l.clone(), "user/l/20261120T115958Z", &world.anchor);
        let first = of_k.next(Body::Recipients(set.clone()));
        world.connect(&of_k.party).await.put(&first, &[], &[]).await.admitted(201, &world.anchor, &mut of_k, &first);
        let second = of_l.next(Body::Recipients(Recipients { number: 2, replaces: Some(first.leaf_hash()), ..set.clone() }));
        world.connect(&l).await.put(&second, &[], &[]).await.admitted(201, &world.anchor, &mut of_l, &second);
        let approve = Approve { entry: second.leaf_hash(), statement: second.statement_hash(), attachments: vec![] };
        let approval = of_k.next(Body::Approve(approve));
        world.connect(&of_k.party).await.put(&approval, &[], &[]).await.admitted(201, &world.anchor, &mut of_k, &approval);
        let of_authority = kept(&world, "authority/1");
        let lost = Lost::begin(world.folder.path(), world.running, world.pki, &world.anchor).await;
        for stated in &of_authority {
            lost.taken(&lost.put(&world.authority.party, stated).await, stated);
        }
        let stated = Sets { first: (first, vec![]), second: (second, vec![]), approval: (approval, vec![]) };
        Self { lost, k: world.custodian, l, camera: world.camera, ended: world.anchor, set, stated, _folder: world.folder }
    }

    /// An epoch that the lost log never had, of the camera's n-th stream.
    fn epoch(&self, number: u8, set: &SignedStatement) -> Stated {
        let camera = Writer::new(self.camera.clone(), &format!("camera/102/main/20261120T11595{number}Z"), &self.ended);
        let (body, wraps) = epoch(&camera.stream, set.leaf_hash());
        (camera.next(body), vec![wraps])
    }

    async fn takes(&self, party: &Party, stated: &Stated) {
        self.lost.taken(&self.lost.put(party, stated).await, stated);
    }

    async fn refuses(&self, party: &Party, stated: &Stated, why: (u16, &str), words: &str) {
        let answer = self.lost.put(party, stated).await;
        assert_eq!(refusal(&answer), (why.0, why.1.to_owned()));
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.contains(words), "it does not say what it waits for: {text}");
    }

    fn newest(&self) -> Hash {
        self.lost.running.appliance.registry.newest_recipients("camera/102").unwrap().unwrap().leaf
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_later_set_first_bars_nobody() {
    let two = Two::new().await;
    let Sets { first, second, approval } = &two.stated;
    let (under_first, under_second) = (two.epoch(0, &first.0), two.epoch(1, &second.0));
    two.refuses(&two.l, second, WAITS, &first.0.leaf_hash().to_string()).await;
    two.refuses(&two.camera, &under_second, WAITS, "were lost with their log").await;
    two.takes(&two.k, first).await;
    assert_eq!(two.newest(), first.0.leaf_hash());
    two.takes(&two.l, second).await;
    // A verdict would find too few behind them below the epoch.
    two.refuses(&two.camera, &under_first, WAITS, "1 of the 2 custodians").await;
    two.refuses(&two.camera, &under_second, WAITS, "1 of the 2 custodians").await;
    two.takes(&two.k, approval).await;
    two.takes(&two.camera, &under_second).await;
    assert_eq!(two.newest(), second.0.leaf_hash());
    stop(two.lost.running).await;
    whole(&two.lost.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_without_the_one_that_it_replaces_has_no_force_once_that_is_given_up() {
    let two = Two::new().await;
    let Sets { first, second, .. } = &two.stated;
    let under_second = two.epoch(1, &second.0);
    two.refuses(&two.l, second, WAITS, "state recipients of camera/102 anew, with a number above 2").await;
    let mut here = Writer::new(two.l.clone(), "user/l/20261122T115958Z", &two.lost.next);
    let anew = here.next(Body::Recipients(Recipients { number: 3, threshold: 1, ..two.set.clone() }));
    two.lost.connect(&two.l).await.put(&anew, &[], &[]).await.admitted(201, &two.lost.next, &mut here, &anew);
    two.takes(&two.l, second).await;
    assert_eq!(two.newest(), anew.leaf_hash(), "a set of which nobody knows who decided it is in force");
    two.takes(&two.camera, &under_second).await;
    // Behind one that was decided here, it would be nobody's to decide.
    two.refuses(&two.k, first, RULE, "number 3 of this scope is in force").await;
    stop(two.lost.running).await;
    whole(&two.lost.state);
}
