//! Recipients are decided by the custodians in force.

use exhibit_evidence::body::StreamPosition;
use exhibit_evidence::{Body, StreamName};
use exhibit_tlog::Hash;

use super::{Board, Story, epoch, expect, found, set};

/// Who decides on a camera's recipients, and what is wrong with it.
const DECISIONS: [Story<Board>; 15] = [
    (
        "decided by both",
        |board| {
            let leaf = board.decided(1, None, &[&board.k(), &board.m.clone()], 2);
            board.obey(leaf);
        },
        &[],
    ),
    (
        "by one of two",
        |board| {
            let leaf = board.site.by_custodian(board.set(1, None, &[&board.k()], 1));
            board.obey(leaf);
        },
        &[("recipients", 1)],
    ),
    (
        "the second comes after the camera has obeyed",
        |board| {
            let leaf = board.site.by_custodian(board.set(1, None, &[&board.k()], 1));
            board.obey(leaf);
            let approval = board.site.approval(leaf);
            board.site.put(&mut board.m, approval);
        },
        &[("recipients", 1)],
    ),
    (
        "an approval of another statement",
        |board| {
            let leaf = board.site.by_custodian(board.set(1, None, &[&board.k()], 1));
            let Body::Approve(mut approval) = board.site.approval(leaf) else { unreachable!() };
            approval.statement = Hash([7; 32]);
            board.site.put(&mut board.m, Body::Approve(approval));
            board.obey(leaf);
        },
        &[("recipients", 2)],
    ),
    (
        "an approval by one who is none",
        |board| {
            let leaf = board.site.by_custodian(board.set(1, None, &[&board.k()], 1));
            let approval = board.site.approval(leaf);
            board.site.put(&mut board.n, approval);
            board.obey(leaf);
        },
        &[("recipients", 2)],
    ),
    (
        "signed by one who is none",
        |board| {
            let set = board.set(1, None, &[&board.n.clone()], 1);
            board.site.put(&mut board.n, set);
        },
        &[("recipients", 0)],
    ),
    (
        "a number that does not rise",
        |board| {
            let leaf = board.decided(5, None, &[&board.k(), &board.m.clone()], 2);
            board.site.by_custodian(board.set(5, Some(leaf), &[&board.k()], 1));
        },
        &[("recipients", 2)],
    ),
    (
        "in place of another than the one in force",
        |board| {
            board.decided(1, None, &[&board.k(), &board.m.clone()], 2);
            board.site.by_custodian(board.set(2, None, &[&board.k()], 1));
        },
        &[("recipients", 2)],
    ),
    (
        "one who was dismissed signs",
        |board| {
            let leaf = board.decided(1, None, &[&board.m.clone(), &board.n.clone()], 1);
            board.site.by_custodian(board.set(2, Some(leaf), &[&board.k()], 1));
        },
        &[("recipients", 2)],
    ),
    (
        "one who was dismissed approves",
        |board| {
            let first = board.decided(1, None, &[&board.m.clone(), &board.n.clone()], 2);
            let set = board.set(2, Some(first), &[&board.m.clone()], 1);
            let second = board.site.put(&mut board.m, set);
            let approval = board.site.approval(second);
            board.site.by_custodian(approval);
            board.obey(second);
        },
        &[("recipients", 4)],
    ),
    (
        "a set approved while a newer one waits is in force",
        |board| {
            let [x, _] = board.two_that_replace_one();
            let approval = board.site.approval(x);
            board.site.put(&mut board.m, approval);
            board.obey(x);
        },
        &[],
    ),
    (
        "the newer one was decided first, and the older approved behind it",
        |board| {
            let [x, y] = board.two_that_replace_one();
            board.site.by_custodian(board.site.approval(y));
            let approval = board.site.approval(x);
            board.site.put(&mut board.m, approval);
            board.obey(y);
        },
        &[],
    ),
    (
        "the older one is obeyed after the newer was decided",
        |board| {
            let [x, y] = board.two_that_replace_one();
            board.site.by_custodian(board.site.approval(y));
            let approval = board.site.approval(x);
            board.site.put(&mut board.m, approval);
            board.obey(x);
        },
        &[("recipients", 6)],
    ),
    (
        "of another camera, or of none",
        |board| {
            let leaf = board.site.by_custodian(set("camera/2", 1, None, &[&board.k()], 1));
            let approval = board.site.approval(leaf);
            board.site.put(&mut board.m, approval);
            board.obey(leaf);
            board.camera.stream = "camera/1/main/2".to_owned();
            (board.camera.seq, board.camera.prev) = (0, Hash([0; 32]));
            board.obey(Hash([6; 32]));
        },
        &[("recipients", 2), ("recipients", 3)],
    ),
    (
        "a camera is set back",
        |board| {
            let old = board.decided(1, None, &[&board.k(), &board.m.clone()], 2);
            let new = board.decided(2, Some(old), &[&board.k(), &board.m.clone()], 2);
            let leaf = board.obey(new);
            let previous = StreamPosition { stream: StreamName::parse("camera/1/main/1").unwrap(), seq: 0, leaf };
            board.camera.stream = "camera/1/main/2".to_owned();
            (board.camera.seq, board.camera.prev) = (0, Hash([0; 32]));
            board.site.put(&mut board.camera, epoch(old, Some(previous)));
        },
        &[("recipients", 5)],
    ),
];

impl Board {
    /// Sets x by k and y by m in place of one that both decided; both have to decide again.
    fn two_that_replace_one(&mut self) -> [Hash; 2] {
        let first = self.decided(1, None, &[&self.k(), &self.m.clone()], 2);
        let x = self.site.by_custodian(self.set(2, Some(first), &[&self.k(), &self.m.clone()], 2));
        let set = self.set(3, Some(first), &[&self.k(), &self.m.clone()], 2);
        [x, self.site.put(&mut self.m, set)]
    }
}

#[test]
fn recipients_are_decided_by_the_custodians_in_force() {
    for (what, story, expected) in DECISIONS {
        let mut board = Board::new();
        story(&mut board);
        expect(what, &found(&board.site, board.from), expected);
    }
    // Two sets wait, one on the other: when both have their approvals, both were decided.
    let mut board = Board::new();
    let first = board.site.by_custodian(board.set(1, None, &[&board.k(), &board.m.clone()], 2));
    let second = board.site.by_custodian(board.set(2, Some(first), &[&board.k(), &board.m.clone()], 2));
    for leaf in [second, first] {
        let approval = board.site.approval(leaf);
        board.site.put(&mut board.m, approval);
    }
    board.obey(second);
    expect("one on the other", &found(&board.site, board.from), &[]);
    // One who is no custodian states a set in place of one that waits, and custodians enough approve of both.
    let mut board = Board::new();
    let first = board.site.by_custodian(board.set(1, None, &[&board.k(), &board.m.clone()], 2));
    let outsiders = board.set(2, Some(first), &[&board.n.clone()], 1);
    let outsiders = board.site.put(&mut board.n, outsiders);
    for leaf in [first, outsiders] {
        let approval = board.site.approval(leaf);
        board.site.put(&mut board.m, approval);
    }
    board.site.by_custodian(board.site.approval(outsiders));
    board.obey(outsiders);
    expect("stated by one who is none, while another waits", &found(&board.site, board.from), &[("recipients", 5)]);
    // Who pins nobody judges no decision.
    let mut board = Board::new();
    board.site.policy.custodians = None;
    let set = board.set(1, None, &[&board.n.clone()], 1);
    let leaf = board.site.put(&mut board.n, set);
    board.obey(leaf);
    expect("nobody is pinned", &found(&board.site, board.from), &[]);
}
