//! Which authorities certified which, from the anchors downwards: what nobody believed has certified costs a look, and is no step of any path.
//!
//! It knows neither certificates nor moments: authorities are numbers, the anchors' first.

use std::cmp::Reverse;

/// The authorities that lead to an anchor by signatures, anchors first, then the others as they were found.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    /// By authority: those that certified it. Nobody is above an anchor, where paths end.
    above: Vec<Vec<usize>>,
    anchors: usize,
}

impl Links {
    /// Asks of each of `others` and each authority that was found to lead to an anchor whether the second `certified` the first, once: no order
    /// of theirs keeps a path from being found. Anchors are believed as they are. `below_max` says how many authorities an authority allows below
    /// it. Who has no room left is asked with `false`, and certifies nobody: such a key, if it is stolen, takes no places. Gives the places that
    /// the authorities had.
    pub fn find(
        anchors: usize,
        others: usize,
        below_max: impl Fn(usize) -> usize,
        mut certified: impl FnMut(usize, usize, bool) -> bool,
    ) -> (Self, Vec<usize>) {
        let below_max = |place: usize| below_max(place).min(PATH_AUTHORITIES_MAX - 1);
        let mut links = Self { above: vec![Vec::new(); anchors], anchors };
        let mut places: Vec<usize> = (0..anchors).collect();
        let mut number_of: Vec<Option<usize>> = vec![None; anchors + others];
        // How many may stand below each, on the way up that leaves it most.
        let mut room: Vec<usize> = (0..anchors).map(below_max).collect();
        let mut asked = vec![false; anchors];
        // Who has most room first: nobody gives another more than that, and so none that was asked gets more later.
        let next = |room: &[usize], asked: &[bool]| {
            (0..room.len()).filter(|number| !asked[*number]).max_by_key(|number| (room[*number], Reverse(*number)))
        };
        while let Some(number) = next(&room, &asked) {
            asked[number] = true;
            let issuer = places[number];
            for (subject, numbered) in number_of.iter_mut().enumerate().skip(anchors) {
                let full = places.len() == anchors + AUTHORITIES_MAX;
                if subject == issuer || numbered.is_none() && full || !certified(subject, issuer, room[number] > 0) || room[number] == 0 {
                    continue;
                }
                let known = *numbered.get_or_insert_with(|| {
                    places.push(subject);
                    links.above.push(Vec::new());
                    room.push(0);
                    asked.push(false);
                    places.len() - 1
                });
                links.above[known].push(number);
                room[known] = room[known].max(below_max(subject).min(room[number] - 1));
            }
        }
        (links, places)
    }

    /// The shortest way up to an anchor that begins with one of `lowest`, of several the first: authorities, lowest first. `may` says whether
    /// an authority may stand on it with so many of them below. Of several dead ends the first is told; `none` where there is not one.
    pub fn path<E>(&self, lowest: &[usize], mut may: impl FnMut(usize, usize) -> Result<(), E>, none: E) -> Result<Vec<usize>, E> {
        // Who may stand somewhere with fewer authorities below is not asked again with more: a way that goes by it twice has a shorter one.
        let mut visited = vec![false; self.above.len()];
        // Each with the place here of the one below it.
        let mut steps: Vec<(usize, Option<usize>)> = Vec::new();
        let (mut level, mut dead_end) = (0..0, None);
        for below in 0..PATH_AUTHORITIES_MAX {
            let candidates: Vec<(usize, Option<usize>)> = match below {
                0 => lowest.iter().map(|authority| (*authority, None)).collect(),
                _ => level.flat_map(|place| self.above[steps[place].0].iter().map(move |above| (*above, Some(place)))).collect(),
            };
            let start = steps.len();
            for (authority, lower) in candidates {
                if visited[authority] {
                    continue;
                }
                if let Err(error) = may(authority, below) {
                    dead_end.get_or_insert(error);
                    continue;
                }
                visited[authority] = true;
                steps.push((authority, lower));
                if authority < self.anchors {
                    return Ok(way_up(&steps));
                }
            }
            level = start..steps.len();
        }
        Err(dead_end.unwrap_or(none))
    }
}

/// The way to the last step, lowest first.
fn way_up(steps: &[(usize, Option<usize>)]) -> Vec<usize> {
    let mut way = Vec::new();
    let mut place = steps.len().checked_sub(1);
    while let Some((authority, lower)) = place.map(|place| steps[place]) {
        way.push(authority);
        place = lower;
    }
    way.reverse();
    way
}

/// Leaf, issuing authority and root are three; a customer's hierarchy may be deeper, but not by much. These are all but the leaf.
const PATH_AUTHORITIES_MAX: usize = 5;
/// How many lead to an anchor and are not one: a few that issue, and some that they succeeded. Only an authority that is believed could make more.
pub const AUTHORITIES_MAX: usize = 64;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn links(anchors: usize, others: usize, pairs: &[(usize, usize)]) -> Links {
        let (links, places) = Links::find(anchors, others, |_| ANY, |subject, issuer, _| pairs.contains(&(subject, issuer)));
        assert_eq!(places, (0..anchors + others).collect::<Vec<_>>(), "the cases are written in the order in which they are found");
        links
    }

    const ANY: usize = usize::MAX;

    fn way(links: &Links, lowest: &[usize]) -> Result<Vec<usize>, &'static str> {
        links.path(lowest, |_, _| Ok(()), "none")
    }

    #[test]
    fn the_shortest_way_is_taken_and_of_two_the_first() {
        // 0 and 1 are anchors.
        let links = links(2, 4, &[(2, 0), (2, 1), (3, 0), (4, 2), (5, 3)]);
        assert_eq!(way(&links, &[4, 3]).unwrap(), [3, 0]);
        assert_eq!(way(&links, &[4]).unwrap(), [4, 2, 0]);
        assert_eq!(way(&links, &[4, 5]).unwrap(), [4, 2, 0]);
        assert_eq!(way(&links, &[5, 4]).unwrap(), [5, 3, 0]);
        assert_eq!(way(&links, &[1, 0]).unwrap(), [1]);
        assert_eq!(way(&links, &[]), Err("none"));
    }

    #[test]
    fn whoever_leads_to_no_anchor_is_asked_nothing_and_is_on_no_way() {
        let mut asked = 0;
        // Forty that certify each other in every way, and the last, whom the anchor certified.
        let (links, places) = Links::find(
            1,
            41,
            |_| ANY,
            |subject, issuer, _| {
                asked += usize::from(issuer > 0 && issuer != 41);
                (subject, issuer) == (41, 0) || (1..41).contains(&subject) && (1..41).contains(&issuer)
            },
        );
        assert_eq!((asked, places), (0, vec![0, 41]));
        assert_eq!(way(&links, &[1]).unwrap(), [1, 0]);
    }

    #[test]
    fn a_way_has_at_most_five_authorities() {
        let chain: Vec<_> = (1..=4).map(|subject| (subject, subject - 1)).collect();
        assert_eq!(way(&links(1, 4, &chain), &[4]).unwrap(), [4, 3, 2, 1, 0]);
        // The anchor certified 5 as well, and will not stand right above it: the other way is too long.
        let (links, places) = found_by(&[(5, 0), (1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]);
        let five = places.iter().position(|place| *place == 5).unwrap();
        let may = |authority, below| if (authority, below) == (0, 1) { Err("the anchor") } else { Ok(()) };
        assert_eq!(links.path(&[five], may, "none"), Err("the anchor"));
    }

    /// Of one anchor and five others.
    fn found_by(pairs: &[(usize, usize)]) -> (Links, Vec<usize>) {
        Links::find(1, 5, |_| ANY, |subject, issuer, _| pairs.contains(&(subject, issuer)))
    }

    #[test]
    fn sixty_four_are_found_and_no_more() {
        let found = |others| Links::find(1, others, |_| ANY, |_, issuer, _| issuer == 0).1.len() - 1;
        assert_eq!((found(64), found(65), found(1000)), (64, 64, 64));
    }

    /// By number of whoever certified them: 0 is the anchor.
    fn found(allowed: &[usize], others: usize, certified: impl Fn(usize, usize) -> bool) -> Vec<usize> {
        let below_max = |place: usize| allowed.get(place).copied().unwrap_or(ANY);
        Links::find(1, others, below_max, |subject, issuer, _| certified(subject, issuer)).1
    }

    #[test]
    fn who_may_have_none_below_takes_no_places() {
        // 1 certified a hundred, and the anchor the last.
        let certified = |subject, issuer| if [1, 102].contains(&subject) { issuer == 0 } else { issuer == 1 };
        assert_eq!(found(&[ANY, 0], 102, certified), [0, 1, 102]);
        assert_eq!(found(&[ANY, 1], 102, certified).len(), 65, "where it may, they take the places");
    }

    #[test]
    fn what_an_authority_above_allows_holds_for_all_below() {
        let chain = |subject, issuer| subject == issuer + 1;
        assert_eq!(found(&[], 9, chain), [0, 1, 2, 3, 4], "what is too far from the anchor for any path is not found");
        assert_eq!(found(&[2], 9, chain), [0, 1, 2]);
        assert_eq!(found(&[ANY, 1], 9, chain), [0, 1, 2]);
        assert_eq!(found(&[0], 9, chain), [0]);
    }

    /// 3 has room through 2 alone, which is found after 1.
    #[test]
    fn of_several_ways_the_one_that_leaves_most_room_counts() {
        let pairs = [(1, 0), (2, 0), (3, 1), (3, 2), (4, 3)];
        let certified = |subject, issuer| pairs.contains(&(subject, issuer));
        assert_eq!(found(&[ANY, 1, 2], 4, certified), [0, 1, 2, 3, 4]);
        assert_eq!(found(&[ANY, 1, 1], 4, certified), [0, 1, 2, 3]);
        assert_eq!(found(&[ANY, 2, 1], 4, certified), [0, 1, 2, 3, 4]);
    }

    /// Each pair once, whatever the order: signatures cost time.
    #[test]
    fn nobody_is_asked_twice_and_who_has_no_room_is_told_so() {
        let mut asked = Vec::new();
        Links::find(
            1,
            3,
            |place| [ANY, 0, 1, ANY][place],
            |subject, issuer, may| {
                asked.push((subject, issuer, may));
                true
            },
        );
        asked.sort_unstable();
        let all = [
            (1, 0, true),
            (1, 2, true),
            (1, 3, true),
            (2, 0, true),
            (2, 1, false),
            (2, 3, true),
            (3, 0, true),
            (3, 1, false),
            (3, 2, true),
        ];
        assert_eq!(asked, all);
    }

    #[test]
    fn where_a_path_length_forbids_one_way_the_other_is_taken() {
        // 1 may have no authority below it, and 3 leads to the anchor through 1 and through 2.
        let links = links(1, 3, &[(1, 0), (2, 0), (3, 1), (3, 2)]);
        let may = |authority, below| if (authority, below) == (1, 1) { Err("too long") } else { Ok(()) };
        assert_eq!(links.path(&[3], may, "none").unwrap(), [3, 2, 0]);
    }

    #[test]
    fn who_may_not_stand_at_one_place_may_at_another() {
        let links = links(1, 2, &[(1, 0), (2, 1)]);
        let may = |authority, below| if (authority, below) == (1, 0) { Err("not its issuer") } else { Ok(()) };
        assert_eq!(links.path(&[1, 2], may, "none").unwrap(), [2, 1, 0]);
    }

    /// Twenty whom the anchor and all others certified: there are 20^4 ways, and none is good.
    #[test]
    fn who_stands_somewhere_is_not_asked_again() {
        let (links, _) = Links::find(1, 20, |_| ANY, |_, _, _| true);
        let mut asked = 0;
        let may = |authority, _| {
            asked += 1;
            if authority == 0 { Err("the anchor") } else { Ok(()) }
        };
        assert_eq!(links.path(&[1], may, "none"), Err("the anchor"));
        assert!(asked <= 1 + 20 * 21, "{asked} times: each of them, and those above each");
    }

    #[test]
    fn of_several_dead_ends_the_first_is_told() {
        let links = links(1, 1, &[(1, 0)]);
        let may = |authority, _| if authority == 0 { Err("the anchor") } else { Err("the other") };
        assert_eq!(links.path(&[0, 1], may, "none"), Err("the anchor"));
        assert_eq!(links.path(&[1, 0], may, "none"), Err("the other"));
    }
}
