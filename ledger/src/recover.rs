//! Start: proves the edge of the tree against the last signed head, and refuses a tree that shrank, forked or is damaged.
