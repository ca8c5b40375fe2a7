#!/usr/bin/python3
"""Judges single vectors, each a line on stdin: what kind of thing it is, and its bytes in hex, between tabs. Each answer is a line:
`accepted`, or why not.
"""

import sys

from signed import Certificate, SignedStatement
from statements import Malformed, parse_statement


def signed_statement_by(statement, certificate):
    """A signed statement of the certificate's holder."""
    SignedStatement(statement).judge(Certificate(certificate))


KINDS = {
    "statement": parse_statement,
    "signed-statement": SignedStatement,
    "signed-statement-by": signed_statement_by,
}


def main():
    for line in sys.stdin:
        kind, *given = line.rstrip("\n").split("\t")
        try:
            KINDS[kind](*map(bytes.fromhex, given))
            answer = "accepted"
        except Malformed as refusal:
            answer = "refused: " + ascii(str(refusal))
        print(answer)


if __name__ == "__main__":
    main()
