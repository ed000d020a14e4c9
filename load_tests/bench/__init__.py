"""`partyline bench`: what a fix costs the server, beside other servers that carry the same party.

Measured from outside, from `/proc` and the wire: no server is asked what it thinks of itself. Imports
`protocol` only, and starts everything it measures as processes of its own.
"""
