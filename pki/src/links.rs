//! Which authorities certified which, from the anchors downwards: what nobody believed has certified costs a look, and is no step of any path.
//!
//! It knows neither certificates nor moments: authorities are numbers, the anchors' first.

/// The authorities that lead to an anchor by signatures, anchors first, then the others as they were found.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    /// By authority: those that certified it. Nobody is above an anchor, where paths end.
    above: Vec<Vec<usize>>,
    anchors: usize,
}

impl Links {
    /// Asks of each of `others` and each authority that was found to lead to an anchor whether the second `certified` the first, once: no order
    /// of theirs keeps a path from being found. Anchors are believed as they are. Gives the places that the authorities had.
    pub fn find(anchors: usize, others: usize, mut certified: impl FnMut(usize, usize) -> bool) -> (Self, Vec<usize>) {
        let mut links = Self { above: vec![Vec::new(); anchors], anchors };
        let mut places: Vec<usize> = (0..anchors).collect();
        let mut number_of: Vec<Option<usize>> = vec![None; anchors + others];
        let mut number = 0;
        while let Some(issuer) = places.get(number).copied() {
            for (subject, numbered) in number_of.iter_mut().enumerate().skip(anchors) {
                let known = *numbered;
                if subject == issuer || known.is_none() && places.len() == anchors + AUTHORITIES_MAX || !certified(subject, issuer) {
                    continue;
                }
                match known {
                    Some(known) => links.above[known].push(number),
                    None => {
                        *numbered = Some(places.len());
                        places.push(subject);
                        links.above.push(vec![number]);
                    }
                }
            }
            number += 1;
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
        let (links, places) = Links::find(anchors, others, |subject, issuer| pairs.contains(&(subject, issuer)));
        assert_eq!(places, (0..anchors + others).collect::<Vec<_>>(), "the cases are written in the order in which they are found");
        links
    }

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
        let (links, places) = Links::find(1, 41, |subject, issuer| {
            asked += usize::from(issuer > 0 && issuer != 41);
            (subject, issuer) == (41, 0) || (1..41).contains(&subject) && (1..41).contains(&issuer)
        });
        assert_eq!((asked, places), (0, vec![0, 41]));
        assert_eq!(way(&links, &[1]).unwrap(), [1, 0]);
    }

    #[test]
    fn a_way_has_at_most_five_authorities() {
        let chain: Vec<_> = (1..=5).map(|subject| (subject, subject - 1)).collect();
        let links = links(1, 5, &chain);
        assert_eq!(way(&links, &[4]).unwrap(), [4, 3, 2, 1, 0]);
        assert!(way(&links, &[5]).is_err());
    }

    #[test]
    fn sixty_four_are_found_and_no_more() {
        let found = |others| Links::find(1, others, |_, issuer| issuer == 0).1.len() - 1;
        assert_eq!((found(64), found(65), found(1000)), (64, 64, 64));
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
        let (links, _) = Links::find(1, 20, |_, _| true);
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
