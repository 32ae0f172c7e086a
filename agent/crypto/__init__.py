"""Keys, signatures and ciphers behind `agent/seal.py`; they need the extra `crypto`, imported when an option asks for them.

Elliptic curves, RSA, block ciphers and digests are those of `cryptography`; SM2, which it lacks, is gmalg's.
"""
