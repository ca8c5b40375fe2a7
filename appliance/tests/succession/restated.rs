//! Two custodians state again what they had stated to a log that was lost: whoever comes first, nothing of the other is barred, and nothing is judged
//! by a set of which not all is there yet.

use exhibit_appliance::maintain::restore::restore;
use exhibit_appliance::setup::Folder;
use exhibit_evidence::body::{Approve, Recipients};
use exhibit_evidence::exchange::SuccessorRecord;
use exhibit_evidence::succession::{Trusted, judge};
use exhibit_evidence::{Anchor, Body, Head, SignedStatement};
use exhibit_pki::{AwsLc, KeyPurpose, Role};
use exhibit_tlog::{EMPTY_ROOT, Hash};

use crate::common::*;
use crate::lost::{Lost, Stated, kept};
use crate::{NOW, certified, refusal, run, try_succeed, whole};

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
    ended: Anchor,
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
    // Rows that are made anew from the entries say the same.
    restore(&two.lost.state.lock().unwrap(), &[], &[], &|_, _| {}).unwrap();
    let running = run(&two.lost.state).await;
    assert_eq!(running.appliance.registry.newest_recipients("camera/102").unwrap().unwrap().leaf, second.0.leaf_hash());
    stop(running).await;
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

/// What a log had carried from one before it goes on where its genesis is all that anybody has of it, and not where nobody has even that.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_log_had_carried_goes_on_with_its_genesis() {
    for has_genesis in [true, false] {
        let world = World::new().await;
        world.set_recipients().await;
        let of_first_log = world.running.appliance.registry.statement_at(0).unwrap();
        let of_first: Vec<Stated> = ["authority/1", "user/k"].into_iter().flat_map(|owner| kept(&world, owner)).collect();
        stop(world.running).await;
        let root = world.folder.path();
        let (first, second) = (Folder::new(&root.join("state")), certified(root, "second", &world.pki));
        let ended = try_succeed(&first, &second, "city.example/log/2", NOW).unwrap().unwrap();
        let running = run(&second).await;
        let genesis = running.appliance.registry.statement_at(0).unwrap();
        let of_other = running.appliance.registry.statement_at(1).unwrap();
        let lost = Lost::begin_with(root, running, world.pki, &ended, |before| {
            std::fs::remove_dir_all(second.path()).unwrap();
            for (nothing, why) in
                [(of_other.der(), "not entry 0"), (of_first_log.der(), "not entry 0"), (b"nothing".as_slice(), "no statement")]
            {
                let refused = before.clone().with_kept_genesis(nothing).unwrap_err();
                assert!(refused.to_string().contains(why), "{refused}");
            }
            if has_genesis { before.with_kept_genesis(genesis.der()).unwrap() } else { before }
        })
        .await;
        for stated in &of_first {
            let party = if stated.0.statement().stream.owner() == "user/k" { &world.custodian } else { &world.authority.party };
            let answer = lost.put(party, stated).await;
            if has_genesis {
                lost.taken(&answer, stated);
            } else {
                // Who is not known here is not even asked for which log it is.
                let why = if stated.0.statement().stream.owner() == "user/k" { (403, "certificate") } else { (422, "log") };
                assert_eq!(refusal(&answer), (why.0, why.1.to_owned()));
            }
        }
        if has_genesis {
            shows_what_is_declared(&lost, &world.custodian, &ended, &world.anchor).await;
        }
        stop(lost.running).await;
        whole(&lost.state);
    }
}

/// Whoever follows is shown that the lost log has declared the first.
async fn shows_what_is_declared(lost: &Lost, custodian: &Party, ended: &Anchor, first: &Anchor) {
    let mut here = Writer::new(custodian.clone(), "user/k/20261122T115958Z", &lost.next);
    let genesis = lost.running.appliance.registry.statement_at(0).unwrap();
    let approve = Approve { entry: genesis.leaf_hash(), statement: genesis.statement_hash(), attachments: vec![] };
    let approved = here.next(Body::Approve(approve));
    let mut connection = lost.connect(custodian).await;
    connection.put(&approved, &[], &[]).await.admitted(201, &lost.next, &mut here, &approved);
    let observed = Head { size: 0, root: EMPTY_ROOT };
    let record: SuccessorRecord = connection.get(&format!("/v1/successor?log={}&size=0", ended.log)).await.json();
    let custodians = [*custodian.certificate.fingerprint()];
    let trusted = Trusted { anchor: ended, observed, custodians: &custodians, threshold: 1, intermediates: &[], verifier: &AwsLc };
    assert_eq!(judge(&record, &trusted).unwrap().anchor.log, lost.next.log);
    let Body::Genesis(genesis) = &genesis.statement().body else { panic!("{genesis:?}") };
    assert_eq!(genesis.before().map(|before| before.log).collect::<Vec<_>>(), [ended.log, first.log]);
}
