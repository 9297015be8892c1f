"""Joins this terminal to a centre: makes its key, shows the code, keeps what the centre told it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Config
from loyalty.ids import fingerprint
from sync import identity
from sync.client import connect, enrol
from sync.protocol.messages import ENROL_CONTEXT, Enrol


class AlreadyEnrolledError(Exception):
    """This terminal has joined before; its journal belongs to that identity."""


def join(config: Config, server_url: str, code: str) -> tuple[identity.Identity, str]:
    """(identity, fingerprint to compare); raises ExchangeFailedError or AlreadyEnrolledError."""
    if (config.data_dir / identity.FILE_NAME).exists():
        raise AlreadyEnrolledError(
            f"This terminal has joined already ({config.data_dir / identity.FILE_NAME}). Nothing was changed."
        )
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    asked = Enrol(code=code, public_key=public, proof=key.sign(ENROL_CONTEXT + code.encode()))
    http = connect(server_url, config.server.ca_file)
    try:
        told = enrol(http, asked)
    finally:
        http.close()
    made = identity.Identity(
        terminal=told.terminal,
        enrolment=told.enrolment,
        outlet=told.outlet,
        private_key=key.private_bytes_raw(),
        centre_keys=told.keys,
        token_key=told.token_key,
        token_key_id=told.token_key_id,
        code_key=told.code_key,
    )
    identity.save(config.data_dir, made)
    return made, fingerprint(public)
