from __future__ import annotations

import pytest

from drivers.lines import NdefRecord, Removed
from tests.rigs.driver_child import DriverChild
from tests.rigs.udp_tag import free_port, udp_tag

LINK = NdefRecord(kind="uri", text="https://loy.example/c/0042?")


@pytest.mark.parametrize(
    ("kind", "technology", "uid"), [("type2", "106A", "04a1b2c3d4e580"), ("type3", "212F", "02fe010203040506")]
)
def test_a_tag_in_another_process_is_read_over_udp(kind, technology, uid):
    port = free_port()
    with DriverChild("nfcpy", {"path": f"udp:localhost:{port}", "technologies": [technology]}) as child:
        with udp_tag(kind, port):
            reading = child.reading()
            assert (reading.tag, reading.uid, reading.ndef[0]) == (kind, uid, LINK)
        child.wait_for(Removed)
