"""Whether an answer to `hello` is the centre's own: the diagnosis asks, and only the exchange's signatures can tell."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.diagnosis.gather_line import HelloVerdict, VerifyHello
from sync.protocol.messages import Hello, MessageError, read_message
from sync.protocol.signing import SignatureError, SignedAnswer, verify_answer


def verify_hello(keys: dict[str, Ed25519PublicKey]) -> VerifyHello:
    """A judge of answers, for the centre with these answer keys."""

    def judge(nonce: str, status: int, headers: Mapping[str, str], body: bytes) -> HelloVerdict:
        answer = SignedAnswer(status_code=status, body=body, headers=dict(headers))
        try:
            verify_answer(answer, keys, nonce=nonce)
            hello = read_message(body, Hello)
        except (SignatureError, MessageError):
            return HelloVerdict(signed=False, centre_time_s=None)
        return HelloVerdict(signed=True, centre_time_s=hello.time_ms / 1000, protocol=hello.protocol[1])

    return judge
