"""Every finding: its area, what hides it, and its words. The only place that holds texts.

Order is order of display within an area: the earliest stage first. A page of docs/findings explains each code.
`{fields}` are filled in by the check that finds it. `depends_on` may name a code or, of a code, one reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.diagnosis.model import Area, Finding, Severity

NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one reason: why it is so, and the one act that ends it."""

    text: str
    cause: str
    cure: str
    depends_on: tuple[str, ...] = ()  # more than the code's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One code. `reasons` is closed: each has its own cure."""

    area: Area
    severity: Severity
    consequence: str
    reasons: dict[str, Words]
    depends_on: tuple[str, ...] = ()


_NO_SALE = "No sale can be recorded: points cannot be given or taken until this is cured."
_DISK = ("storage.absent", "storage.read_only", "storage.full", "storage.failing")
_CARD = "Taps at this reader do not work; {others}."
_BROKEN_CARD = "This card was not read; other cards are. Use its printed code or type its number."
_SAID = "The reader's driver says: {said}"
_OWNER = "at the centre: "

CATALOGUE: dict[str, Entry] = {
    "storage.absent": Entry(
        area="storage",
        severity="critical",
        consequence=_NO_SALE,
        depends_on=("config.invalid:unreadable",),
        reasons={
            "missing": Words(
                text="The data folder {path} does not exist.",
                cause="It was never made, or the disk that holds it is not mounted.",
                cure="sudo install -d -o holdfast -m 700 {path}   (after checking that its disk is mounted: findmnt)",
            ),
            "not_a_folder": Words(
                text="{path} is not a folder.",
                cause="Something else lies where the data folder should be.",
                cure="move it away, or set data_dir in [terminal] to a folder",
            ),
        },
    ),
    "storage.read_only": Entry(
        area="storage",
        severity="critical",
        consequence=_NO_SALE,
        depends_on=("storage.absent",),
        reasons={
            "file_system": Words(
                text="The disk of {path} is read-only.",
                cause="It was mounted so, or the kernel made it so after an error on the disk.",
                cure="sudo reboot   (the disk is checked at start; if it comes back twice, replace the disk)",
            ),
            "not_permitted": Words(
                text="The terminal may not write to {path}.",
                cause="The folder belongs to another user.",
                cure="sudo chown -R holdfast: {path}",
            ),
        },
    ),
    "storage.full": Entry(
        area="storage",
        severity="critical",
        consequence=_NO_SALE,
        depends_on=("storage.read_only",),
        reasons={
            "blocks": Words(
                text="The disk of {path} is full.",
                cause="No block is left for us: {free} free of {total}.",
                cure="sudo journalctl --vacuum-size=200M; sudo apt-get clean",
            ),
            "inodes": Words(
                text="The disk of {path} holds as many files as it can.",
                cause="There are free blocks ({free}) but no free inodes: somewhere lie very many small files.",
                cure="sudo du --inodes -x -d 3 / | sort -n | tail   (and delete what is not needed)",
            ),
            "quota": Words(
                text="The disk quota for {path} is used up.",
                cause="The quota of the user holdfast is reached.",
                cure="sudo setquota -u holdfast 0 0 0 0 -a",
            ),
            "size_limit": Words(
                text="Files in {path} may not grow any more.",
                cause="The process runs under a limit on file size (RLIMIT_FSIZE).",
                cure="remove LimitFSIZE from the service: sudo systemctl edit holdfast",
            ),
        },
    ),
    "storage.failing": Entry(
        area="storage",
        severity="critical",
        consequence="The disk is dying: sales may still be recorded, but they are not safe.",
        depends_on=("storage.absent",),
        reasons={
            "io_error": Words(
                text="The disk of {path} answers with errors ({error}).",
                cause="The medium is worn out or its cable is loose.",
                cure="holdfast backup /media/usb/journal.hf now; then replace the disk and holdfast restore",
            ),
        },
    ),
    "storage.slow_sync": Entry(
        area="storage",
        severity="warning",
        consequence="Each sale waits for the disk, so every tap is slow.",
        depends_on=("storage.failing",),
        reasons={
            "slow": Words(
                text="The disk of {path} is slow: {ms:.0f} ms to make a row durable.",
                cause="A worn or cheap card, or another program that writes all the time.",
                cure="sudo iotop -ao   (shows who writes); for good: an industrial card or an SSD",
            ),
            "hung": Words(
                text="The disk of {path} does not answer: a small write took more than 2 s.",
                cause="A disk or network share that has stopped answering.",
                cure="sudo dmesg | tail   (names the disk); then holdfast backup, and replace it",
            ),
        },
    ),
    "storage.low": Entry(
        area="storage",
        severity="warning",
        consequence="Nothing is lost yet; when the disk is full no sale can be recorded.",
        depends_on=("storage.full",),
        reasons={
            "blocks": Words(
                text="The disk of {path} is nearly full: {free} free.",
                cause="Less than {limit} is left.",
                cure="sudo journalctl --vacuum-size=200M; sudo apt-get clean",
            ),
            "inodes": Words(
                text="The disk of {path} can hold few more files: {inodes} left.",
                cause="Somewhere lie very many small files.",
                cure="sudo du --inodes -x -d 3 / | sort -n | tail   (and delete what is not needed)",
            ),
        },
    ),
    "reader.library_missing": Entry(
        area="reader",
        severity="critical",
        consequence=_CARD,
        reasons={
            "said": Words(
                text="A part that reader {name} needs is not installed.",
                cause="The driver could not load its hardware library.",
                cure="{said}",
            ),
        },
    ),
    "config.reader_options": Entry(
        area="configuration",
        severity="critical",
        consequence=_CARD,
        reasons={
            "said": Words(
                text="The options of reader {name} are not what its driver takes.",
                cause=_SAID,
                cure='correct the options under [[readers]] name = "{name}": holdfast config check',
            ),
        },
    ),
    "reader.no_service": Entry(
        area="reader",
        severity="critical",
        consequence="Taps by card do not work; {others}.",
        reasons={
            "stopped": Words(
                text="The smart-card service is not running.",
                cause="Nothing listens on {socket}.",
                cure="{start}",
            ),
            "not_installed": Words(
                text="The smart-card service is not installed.",
                cause="There is no pcscd on this machine.",
                cure="sudo apt-get install pcscd libccid",
            ),
            "misconfigured": Words(
                text="The smart-card service cannot start.",
                cause="{file} names a library that is not there: {library}",
                cure="remove that entry from {file}, then {start}",
            ),
            "failed": Words(
                text="The smart-card service ends as soon as it starts.",
                cause="The service manager says of pcscd.service: {result}",
                cure="sudo apt-get install --reinstall libccid; sudo systemctl restart pcscd.socket",
            ),
            "not_answering": Words(
                text="The smart-card service listens but does not serve.",
                cause="Its socket takes connections; the driver gets no answer: {said}",
                cure="sudo systemctl restart pcscd.service",
            ),
        },
    ),
    "reader.not_permitted": Entry(
        area="reader",
        severity="critical",
        consequence=_CARD,
        depends_on=("reader.no_service", "reader.library_missing"),
        reasons={
            "socket": Words(
                text="The terminal may not use the smart-card service.",
                cause="{socket} is closed to this user.",
                cure="sudo systemctl stop pcscd.service; sudo systemctl restart pcscd.socket",
            ),
            "node": Words(
                text="The terminal may not open {path} (reader {name}).",
                cause="The device belongs to a group that this user is not in.",
                cure="sudo usermod -aG $(stat -c %G {path}) holdfast && sudo systemctl restart holdfast",
            ),
            "said": Words(
                text="Reader {name} may not be opened.",
                cause=_SAID,
                cure="sudo usermod -aG plugdev,dialout,video,input holdfast && sudo systemctl restart holdfast",
            ),
        },
    ),
    "reader.not_present": Entry(
        area="reader",
        severity="critical",
        consequence=_CARD,
        depends_on=("reader.no_service", "reader.library_missing", "reader.not_permitted", "config.reader_options"),
        reasons={
            "said": Words(
                text="Reader {name} is not there.",
                cause=_SAID,
                cure="plug the reader in at both ends, directly into the terminal",
            ),
            "node": Words(
                text="Reader {name} is not there: {path} does not exist.",
                cause="The device is unplugged, or the path in the configuration is another one's.",
                cure="plug the reader in; or take the path from: ls /dev/serial/by-id /dev/v4l/by-id",
            ),
        },
    ),
    "reader.gone": Entry(
        area="reader",
        severity="critical",
        consequence=_CARD,
        depends_on=("reader.no_service",),
        reasons={
            "said": Words(
                text="Reader {name} was there and is gone.",
                cause=_SAID,
                cure="plug the reader in at both ends; if it comes and goes, take another cable or port",
            ),
        },
    ),
    "reader.busy": Entry(
        area="reader",
        severity="critical",
        consequence=_CARD,
        depends_on=("reader.gone", "reader.not_present"),
        reasons={
            "said": Words(
                text="Another program holds reader {name}.",
                cause=_SAID,
                cure="close the other program   (often: gpgconf --kill scdaemon, or sudo systemctl stop ModemManager)",
            ),
        },
    ),
    "reader.mute": Entry(
        area="reader",
        severity="critical",
        consequence=_CARD,
        depends_on=("reader.busy", "reader.gone", "reader.not_present"),
        reasons={
            "said": Words(
                text="Reader {name} does not answer.",
                cause=_SAID,
                cure="unplug the reader for 5 s, then plug it in directly, not through a hub",
            ),
            "no_heartbeat": Words(
                text="The driver of reader {name} has said nothing for {age}.",
                cause="A call into the hardware hangs; the agent restarts the driver.",
                cure="unplug the reader for 5 s, then plug it in directly, not through a hub",
            ),
        },
    ),
    "reader.driver_failed": Entry(
        area="reader",
        severity="critical",
        consequence=_CARD,
        depends_on=("reader.library_missing", "config.reader_options", "reader.mute"),
        reasons={
            "crash": Words(
                text="The driver of reader {name} ended ({how}).",
                cause="It crashed or was killed; the agent starts it again.",
                cure="holdfast logs --area reader   (if it happens again, report what it shows)",
            ),
        },
    ),
    "reader.tag_unsupported": Entry(
        area="reader",
        severity="info",
        consequence=_BROKEN_CARD,
        depends_on=("reader.mute",),
        reasons={
            "said": Words(
                text="Reader {name} met a card of a kind it cannot read.",
                cause=_SAID,
                cure="holdfast readers test {name}   (records the pair of reader and card)",
            ),
        },
    ),
    "reader.read_failed": Entry(
        area="reader",
        severity="info",
        consequence=_BROKEN_CARD,
        depends_on=("reader.mute",),
        reasons={
            "said": Words(
                text="Reader {name} lost a card in the middle of reading.",
                cause=_SAID,
                cure="hold the card still until the beep; keep metal and phones 20 cm away",
            ),
        },
    ),
    "camera.absent": Entry(
        area="reader",
        severity="critical",
        consequence="Printed codes cannot be scanned here; {others}.",
        depends_on=("reader.library_missing", "reader.not_permitted", "config.reader_options"),
        reasons={
            "said": Words(
                text="Camera {name} is not there.",
                cause=_SAID,
                cure="plug the camera in; its number may have changed: ls /dev/v4l/by-id",
            ),
            "node": Words(
                text="Camera {name} is not there: {path} does not exist.",
                cause="The camera is unplugged or has another number now.",
                cure="plug the camera in; or take the path from: ls /dev/v4l/by-id",
            ),
        },
    ),
    "camera.busy": Entry(
        area="reader",
        severity="critical",
        consequence="Printed codes cannot be scanned here; {others}.",
        depends_on=("camera.absent",),
        reasons={
            "said": Words(
                text="Another program uses camera {name}.",
                cause=_SAID,
                cure="sudo fuser -v /dev/video*   (names the program: close it)",
            ),
        },
    ),
    "camera.refused": Entry(
        area="reader",
        severity="critical",
        consequence="Printed codes cannot be scanned here; {others}.",
        depends_on=("camera.absent", "camera.busy"),
        reasons={
            "said": Words(
                text="Camera {name} refuses what is asked of it.",
                cause=_SAID,
                cure="remove size and rate from the camera's options, or take the address from its manual",
            ),
        },
    ),
    "camera.frozen": Entry(
        area="reader",
        severity="warning",
        consequence="Printed codes cannot be scanned here; {others}.",
        depends_on=("camera.absent", "camera.busy"),
        reasons={
            "said": Words(
                text="Camera {name} shows a picture that stands still.",
                cause=_SAID,
                cure="unplug the camera for 5 s and plug it in again",
            ),
        },
    ),
    "camera.decoder_missing": Entry(
        area="reader",
        severity="warning",
        consequence="Codes are read all the same; damaged ones less well.",
        depends_on=("reader.library_missing",),
        reasons={
            "said": Words(
                text="One of the decoders of camera {name} is not installed.",
                cause=_SAID,
                cure="sudo apt-get install --no-install-recommends libzbar0",
            ),
        },
    ),
    "reader.faulty": Entry(
        area="reader",
        severity="critical",
        consequence=_CARD,
        depends_on=(
            "reader.mute",
            "reader.driver_failed",
            "reader.read_failed",
            "reader.tag_unsupported",
            "camera.frozen",
            "camera.refused",
        ),
        reasons={
            "said": Words(
                text="Reader {name} says that it does not work ({said_code}).",
                cause=_SAID,
                cure="holdfast readers test {name}",
            ),
        },
    ),
    "config.invalid": Entry(
        area="configuration",
        severity="critical",
        consequence="The terminal does not start, or not as it was meant to.",
        reasons={
            "unreadable": Words(
                text="The configuration cannot be used: {text}",
                cause="{where}",
                cure="{cure}",
            ),
            "mistake": Words(
                text="A mistake in the configuration: {text}",
                cause="{where}",
                cure="{cure}",
            ),
            "server_url": Words(
                text="The server's address is not a web address: {url}",
                cause="url in [server] must begin with https:// (or http://) and name a host.",
                cure="correct url in [server]: holdfast config show",
            ),
            "listen": Words(
                text="The till cannot listen on {listen} ({error}).",
                cause="listen in [till] must be an address of this machine and a port from 1024 up.",
                cure='set listen = "127.0.0.1:8765" in [till]',
            ),
        },
    ),
    "till.port_in_use": Entry(
        area="configuration",
        severity="critical",
        consequence="The till's page and its interface for POS software cannot open.",
        depends_on=("config.invalid:listen",),
        reasons={
            "taken": Words(
                text="Another program listens on {listen}.",
                cause="It is {holder}.",
                cure="stop that program, or set another port in [till] listen",
            ),
        },
    ),
    "clock.wrong": Entry(
        area="clock",
        severity="critical",
        consequence="Times of sales are wrong. The centre refuses signatures that are more than 5 minutes off.",
        reasons={
            "far": Words(
                text="This terminal's clock is {offset}.",
                cause="The centre's signed time says so.",
                cure="sudo timedatectl set-ntp true",
            ),
            "drift": Words(
                text="This terminal's clock is {offset}.",
                cause="The centre's signed time says so; no time service keeps the clock.",
                cure="sudo timedatectl set-ntp true",
            ),
            "behind": Words(
                text="This terminal's clock is at least {offset}.",
                cause="It shows a time before the centre's last signed answer.",
                cure="sudo timedatectl set-ntp true   (at every start: replace the battery of the clock)",
            ),
        },
    ),
    "line.no_link": Entry(
        area="line",
        severity="warning",
        consequence="{waiting}",
        reasons={
            "none": Words(
                text="This machine has no network interface.",
                cause="No network card was found.",
                cure="plug the network adapter in; lsusb and ip link show whether it is seen",
            ),
            "off": Words(
                text="The network interface {names} is switched off.",
                cause="It is down, or a switch turns the radio off.",
                cure="sudo ip link set {name} up; sudo rfkill unblock wifi",
            ),
            "unplugged": Words(
                text="The network cable of {names} is not connected.",
                cause="The interface is on but has no carrier.",
                cure="plug the cable in at the terminal and at the wall; the switch's light should come on",
            ),
        },
    ),
    "line.no_gateway": Entry(
        area="line",
        severity="warning",
        consequence="{waiting}",
        depends_on=("line.no_link",),
        reasons={
            "no_route": Words(
                text="This machine knows no way out of its network.",
                cause="There is no default route: the box gave no address.",
                cure="restart the box (30 s without power), or: sudo nmcli device reapply {name}",
            ),
            "silent": Words(
                text="The box ({gateway}) does not answer.",
                cause="The default gateway on {name} does not answer on its own network.",
                cure="restart the box (30 s without power)",
            ),
        },
    ),
    "line.dns": Entry(
        area="line",
        severity="warning",
        consequence="{waiting}",
        depends_on=("line.no_gateway", "config.invalid:unreadable", "config.invalid:server_url"),
        reasons={
            "silent": Words(
                text="Names cannot be looked up: no name server answers.",
                cause="The name server of this network is silent or refuses ({error}).",
                cure="restart the box; or: sudo resolvectl dns {name} ADDRESS-OF-THE-BOX",
            ),
            "unknown_name": Words(
                text="The name {host} is not known.",
                cause="The name server answers and does not know the name ({error}).",
                cure="check the name: holdfast config show; if it is right, tell the centre's owner",
            ),
            "failed": Words(
                text="The name {host} cannot be looked up ({error}).",
                cause="This machine's resolver is not set up.",
                cure="check /etc/resolv.conf and /etc/nsswitch.conf",
            ),
        },
    ),
    "line.tcp": Entry(
        area="line",
        severity="warning",
        consequence="{waiting}",
        depends_on=("line.dns",),
        reasons={
            "refused": Words(
                text="{host} refuses connections on port {port}.",
                cause="The machine is there; the centre's program does not listen, or the port is another one.",
                cure=_OWNER + "sudo systemctl start holdfast-server; else wait, nothing is lost",
            ),
            "timeout": Words(
                text="{host} does not answer on port {port}.",
                cause="The Internet beyond the box is down, or a firewall drops the connection.",
                cure="is the box's Internet light green? restart it; else let 443/tcp to {host} through the firewall",
            ),
            "prohibited": Words(
                text="Connections to {host} port {port} are forbidden.",
                cause="A firewall answers that this is not allowed.",
                cure="let {port}/tcp to {host} through; own rules: sudo nft list ruleset",
            ),
            "unreachable": Words(
                text="There is no way to {host}.",
                cause="The network says that {host} cannot be reached.",
                cure="restart the box (30 s without power); then the provider's number",
            ),
        },
    ),
    "line.portal": Entry(
        area="line",
        severity="warning",
        consequence="{waiting}",
        depends_on=("line.tcp",),
        reasons={
            "redirect": Words(
                text="The network asks for a sign-in page ({portal}).",
                cause="What should have come from the centre leads to another host. Nothing was sent to it.",
                cure="open http://{portal}/ in this terminal's browser and accept; for good: have it let through",
            ),
            "page": Words(
                text="Something else answers in the centre's place with a page of its own.",
                cause="The answer is not signed by the centre: a sign-in page or a filter of this network.",
                cure="open http://{host}/ in this terminal's browser and accept; for good: have it let through",
            ),
            "status_511": Words(
                text="The network asks to sign in first.",
                cause="It says so itself (HTTP 511).",
                cure="open http://{host}/ in this terminal's browser and accept; for good: have it let through",
            ),
            "refused": Words(
                text="Something in between refuses our requests (HTTP {status}).",
                cause="The refusal is not signed by the centre, so it is not the centre's.",
                cure="ask who runs this network to let {host} through without sign-in",
            ),
            "unsigned": Words(
                text="{host} answers, but not as the centre that this terminal knows (HTTP {status}).",
                cause="The answer is not signed by the centre's key: a wrong address, or a proxy that changes answers.",
                cure="check url in [server] (path, live or test): holdfast config show",
            ),
        },
    ),
    "line.tls": Entry(
        area="line",
        severity="warning",
        consequence="{waiting}",
        depends_on=("line.portal",),
        reasons={
            "dates": Words(
                text="The certificate of {host} is not valid now: it holds from {begins} to {ends}.",
                cause="It was not renewed, or this terminal's clock ({now}) is wrong.",
                cure="if the clock is right, " + _OWNER + "renew the certificate (certbot renew)",
                depends_on=("clock.wrong:far", "clock.wrong:behind"),
            ),
            "name": Words(
                text="The certificate shown by {host} is for another name ({names}).",
                cause="The address in the configuration is not one of the certificate's names.",
                cure="correct url in [server], or add the name to the certificate",
            ),
            "issuer": Words(
                text="The certificate of {host} is not from an issuer that this machine trusts.",
                cause="Issued by {issuer} ({detail}). A firewall that looks inside, or an incomplete chain.",
                cure="exempt {host} from inspection; or " + _OWNER + "add the intermediate certificate",
                depends_on=("clock.wrong:behind",),
            ),
            "version": Words(
                text="{host} and this terminal have no safe language in common ({detail}).",
                cause="One of them speaks only versions of TLS that the other refuses.",
                cure=_OWNER + "switch TLS 1.2 or newer on",
            ),
            "not_tls": Words(
                text="{host} does not speak TLS on port {port}.",
                cause="The port is one for plain HTTP.",
                cure="correct scheme and port of url in [server]",
            ),
            "cut": Words(
                text="The connection to {host} is cut while it is being secured.",
                cause="{detail}: a firewall, or the centre's front door.",
                cure="restart the box; look into the firewall's log for {host}",
            ),
        },
    ),
    "centre.down": Entry(
        area="centre",
        severity="warning",
        consequence="{waiting}",
        depends_on=("line.tls",),
        reasons={
            "silent": Words(
                text="The centre takes the connection and says nothing.",
                cause="Its program hangs, or its database or disk does.",
                cure=_OWNER + "systemctl status holdfast-server; else wait, nothing is lost",
            ),
            "cut": Words(
                text="The centre cuts the connection without an answer.",
                cause="{detail}",
                cure=_OWNER + "restart its program or the proxy before it; else wait, nothing is lost",
            ),
            "garbage": Words(
                text="What comes from the centre is not a web answer.",
                cause="{detail}",
                cure="check the port of url in [server]; " + _OWNER + "restart the proxy before it",
            ),
            "failing": Words(
                text="The centre's front door answers, the centre behind it does not (HTTP {status}).",
                cause="The answer comes from a proxy and is not signed.",
                cure=_OWNER + "restart holdfast-server; else wait, nothing is lost",
            ),
            "error": Words(
                text="The centre answers with an error of its own (HTTP {status}).",
                cause="The answer is signed: the centre runs and failed inside.",
                cure=_OWNER + "look into its log; else wait, nothing is lost",
            ),
        },
    ),
    "centre.busy": Entry(
        area="centre",
        severity="info",
        consequence="{waiting}",
        depends_on=("centre.down",),
        reasons={
            "busy": Words(
                text="The centre is busy and asks to wait.",
                cause="It says so itself, signed (HTTP {status}).",
                cure="nothing to do: the terminal tries again by itself",
            ),
        },
    ),
    "centre.refused": Entry(
        area="centre",
        severity="critical",
        consequence="{waiting}",
        depends_on=("clock.wrong:far", "clock.wrong:behind"),
        reasons={
            "refused": Words(
                text="The centre does not accept this terminal (HTTP {status}, signed).",
                cause="The terminal was revoked, or its key is not the one that was enrolled.",
                cure=_OWNER + "holdfast-server terminals; then here: holdfast enrol with a new code",
            ),
        },
    ),
    "centre.version": Entry(
        area="version",
        severity="critical",
        consequence="{waiting}",
        reasons={
            "too_old": Words(
                text="This terminal's software is too old for the centre.",
                cause="The centre says so, signed: it speaks {theirs}, this terminal {ours}.",
                cure="sudo apt-get install --only-upgrade holdfast   (or as the outlet's image says)",
            ),
            "too_new": Words(
                text="The centre's software is too old for this terminal.",
                cause="The centre says so, signed: it speaks {theirs}, this terminal {ours}.",
                cure=_OWNER + "upgrade holdfast-server",
            ),
        },
    ),
    "queue.stuck": Entry(
        area="queue",
        severity="critical",
        consequence="{waiting}",
        depends_on=(*_DISK, "centre.refused", "centre.version"),
        reasons={
            "not_acknowledged": Words(
                text="The centre answers, but takes no rows.",
                cause="An exchange succeeded after the oldest row was written, and it still waits.",
                cure="holdfast sync   (says the answer per row); then holdfast logs --area queue",
            ),
            "contract": Words(
                text="The centre and this terminal disagree on what was sent.",
                cause="The last exchange ended as a dispute (HTTP {status}, signed).",
                cure="holdfast journal verify; then holdfast logs --area centre",
            ),
        },
    ),
    "queue.old": Entry(
        area="queue",
        severity="info",
        consequence="{waiting}",
        depends_on=(*_DISK, "centre.busy", "centre.refused", "centre.version", "clock.wrong:far", "queue.stuck"),
        reasons={
            "line_down": Words(
                text="Rows wait for the line: the oldest for {age}.",
                cause="The centre is not reached.",
                cure="restore the line; nothing is lost meanwhile",
            ),
            "not_sent": Words(
                text="Rows wait although the centre can be reached: the oldest for {age}.",
                cause="No exchange has taken them: it is paused, or automatic is off in [sync].",
                cure="holdfast sync",
            ),
        },
    ),
}

ORDER: tuple[str, ...] = tuple(CATALOGUE)


def closure(code: str, reason: str | None = None) -> frozenset[str]:
    """Everything that `code` (found for `reason`) depends on, and what that depends on in turn."""
    found: set[str] = set()
    ahead = list(dependencies(code, reason))
    while ahead:
        edge = ahead.pop()
        if edge not in found:
            found.add(edge)
            ahead.extend(dependencies(edge.partition(":")[0], edge.partition(":")[2] or None))
    return frozenset(found)


def dependencies(code: str, reason: str | None) -> tuple[str, ...]:
    """The edges written down for a code and one of its reasons."""
    entry = CATALOGUE[code]
    words = entry.reasons.get(reason) if reason else None
    return entry.depends_on + (words.depends_on if words else ())


def found(
    code: str,
    reason: str,
    *,
    at: float,
    scope: str | None = None,
    covers: tuple[str, ...] | None = None,
    severity: Severity | None = None,
    fields: Mapping[str, object] = NOTHING,
) -> Finding:
    """A finding with its words filled in. Raises KeyError for a code, reason or field that the catalogue lacks."""
    entry = CATALOGUE[code]
    words = entry.reasons[reason]
    return Finding(
        code=code,
        reason=reason,
        scope=scope,
        severity=severity or entry.severity,
        area=entry.area,
        text=words.text.format_map(fields),
        consequence=entry.consequence.format_map(fields),
        cause=words.cause.format_map(fields),
        cure=words.cure.format_map(fields),
        depends_on=dependencies(code, reason),
        seen_at=at,
        covers=covers,
    )
