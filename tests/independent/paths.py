"""Which authorities lead to an anchor, and the shortest path, by docs/formats/certificates.md. Knows nothing of what is in a certificate."""

AUTHORITIES_LIMIT = 64
PATH_LIMIT = 6


class Links:
    """The authorities that lead to an anchor: the anchors, then the others as they are found, each with those that certified it."""

    def __init__(self, anchors, others, certified, path_length):
        """path_length is how many authorities one allows below it, None for any number."""
        self.authorities, self.above = list(anchors), [[] for _ in anchors]

        def allowed(authority):
            length = path_length(authority)
            return PATH_LIMIT - 2 if length is None else min(length, PATH_LIMIT - 2)
        room, left = [allowed(anchor) for anchor in anchors], list(range(len(anchors)))
        known = {anchor.der for anchor in anchors}
        others = [other for place, other in enumerate(others)
                  if other.der not in known and all(other.der != earlier.der for earlier in others[:place])]
        self.anchors = len(anchors)
        while left:
            at = max(left, key=lambda number: (room[number], -number))
            left.remove(at)
            if room[at] == 0:
                break
            for subject in others:
                number = next((number for number in range(self.anchors, len(self.authorities)) if self.authorities[number] is subject), None)
                full = len(self.authorities) == self.anchors + AUTHORITIES_LIMIT
                if number == at or number is None and full or not certified(subject, self.authorities[at]):
                    continue
                if number is None:
                    number = len(self.authorities)
                    self.authorities.append(subject)
                    self.above.append([])
                    room.append(0)
                    left.append(number)
                self.above[number].append(at)
                room[number] = max(room[number], min(allowed(subject), room[at] - 1))

    def path(self, leaf, names, may):
        """The shortest path, of several the first, as a list from the leaf to an anchor; None where there is none."""
        ways = [[number] for number, authority in enumerate(self.authorities) if names(leaf, authority)]
        visited = set()
        for below in range(PATH_LIMIT - 1):
            stand = []
            for way in ways:
                if way[-1] in visited or not may(self.authorities[way[-1]], way[-1] < self.anchors, below):
                    continue
                visited.add(way[-1])
                if way[-1] < self.anchors:
                    return [leaf, *(self.authorities[number] for number in way)]
                stand.append(way)
            ways = [[*way, above] for way in stand for above in self.above[way[-1]]]
        return None
