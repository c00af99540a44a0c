"""One fetch <-> WARC records: a request and a response for each hop. This is what ``spool/`` holds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from worker.archive.records import (
    HEAD_END,
    StoredRecord,
    WrittenRecord,
    digest,
    read_records,
    record_id_of,
    write_record,
    written_moment,
)
from worker.errors import QuarantineError
from worker.model import Exchange, Hop
from worker.text import header_fields

REDACTED = b"redacted"

_ALWAYS_REDACTED = frozenset({"authorization", "cookie", "proxy-authorization"})
_SET_COOKIE = frozenset({"set-cookie", "set-cookie2"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LINE_END = re.compile(rb"\r?\n")
_ORIGINAL = b"X-Archive-Orig-"
_FRAMING_NAMES = rb"(?:Transfer-Encoding|Content-Length)[ \t]*:"
_FRAMING = re.compile(rb"^(?=" + _FRAMING_NAMES + rb")", re.IGNORECASE | re.MULTILINE)
_REFRAMED = re.compile(rb"^X-Archive-Orig-(?=" + _FRAMING_NAMES + rb")", re.IGNORECASE | re.MULTILINE)
_TRANSFER_CODING = re.compile(rb"^Transfer-Encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
_OUR_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n\r\n\Z")


def exchange_records(exchange: Exchange, *, redact: frozenset[str] = frozenset()) -> bytes:
    """All hops, in order; bytes of several exchanges may be joined. The same exchange gives the same bytes.

    The body stays as sent less its transfer coding, whose header is then renamed ``X-Archive-Orig-Transfer-Encoding``
    and replaced by a Content-Length: the one form that all readers agree about. Line ends of heads are CRLF.

    A head is kept whole, however long: anything else would not be what the server sent. FastWARC 2 with
    ``parse_http=True`` gives up on one over 32 KiB ("Maximum header length exceeded"); with False it reads the record.

    Credentials and cookies we sent are replaced by "redacted", and so are the cookies that were given in return for a
    secret, there or where it led to: they are secrets themselves.

    Args:
        redact: Names of further request headers that are secret (those a feed configures), in any case.
    """
    secret = _ALWAYS_REDACTED | {name.lower() for name in redact}
    requests = [_redacted(_crlf(hop.request_head), secret) for hop in exchange.hops]
    told_secret = any(found for _, found in requests)
    return b"".join(
        record.data
        for hop, (request, _) in zip(exchange.hops, requests, strict=True)
        for record in _hop_records(hop, request, hide_cookies=told_secret)
    )


def read_exchange(data: bytes) -> Exchange:
    """What ``exchange_records`` wrote, less what it redacted; of several joined ones all hops, in order.

    Raises: QuarantineError: ``damaged-warc``: cut, changed, or without a whole hop.
    """
    hops = tuple(_hops(read_records(data)))
    if not hops:
        raise QuarantineError("damaged-warc", "there is no request and response in it")
    return Exchange(hops=hops)


def split_http(block: bytes) -> tuple[bytes, memoryview]:
    """Head (its empty line included) and body, not copied.

    Raises: QuarantineError: ``damaged-warc``: the head does not end.
    """
    end = block.find(HEAD_END)
    if end < 0:
        raise QuarantineError("damaged-warc", "an HTTP head without an end")
    start = end + len(HEAD_END)
    return block[:start], memoryview(block)[start:]


def fields_of(head: bytes) -> tuple[tuple[str, str], ...]:
    """The headers of a head, read by the rules of whoever fetched it: a page is then what it was when it came."""
    return header_fields(head.partition(b"\n")[2])


def _hop_records(hop: Hop, request: bytes, *, hide_cookies: bool) -> tuple[WrittenRecord, WrittenRecord]:
    head = _crlf(hop.response_head)
    if hide_cookies:
        head, _ = _redacted(head, _SET_COOKIE)
    if _TRANSFER_CODING.search(head):
        head = _FRAMING.sub(_ORIGINAL, head)[:-2] + b"Content-Length: %d\r\n\r\n" % len(hop.body)
    response = head + hop.body
    request_digest, response_digest = digest(request), digest(response)
    response_id = record_id_of("response", hop.url, written_moment(hop.began_at), response_digest)
    request_id = record_id_of("request", response_id, request_digest)
    address = {"WARC-IP-Address": hop.ip} if hop.ip else {}
    truncated = hop.truncated or ("unspecified" if _body_was_left(hop) else None)
    return (
        write_record(
            "request",
            record_id=request_id,
            captured_at=hop.began_at,
            content_type="application/http; msgtype=request",
            block=request,
            block_digest=request_digest,
            url=hop.url,
            payload_start=len(request),
            fields={"WARC-Concurrent-To": f"<{response_id}>", **address},
        ),
        write_record(
            "response",
            record_id=response_id,
            captured_at=hop.began_at,
            content_type="application/http; msgtype=response",
            block=response,
            block_digest=response_digest,
            url=hop.url,
            payload_start=len(head),
            fields={
                **address,
                **({"WARC-Truncated": truncated} if truncated else {}),
                "X-Newsmill-Ended-At": written_moment(hop.ended_at),  # WARC-Date is the beginning, for both records
            },
        ),
    )


def _crlf(head: bytes) -> bytes:
    """Readers of WARC insist on CRLF, and on one empty line at the end: a line of blanks is one to them."""
    return b"\r\n".join(line for line in _LINE_END.split(head) if not _is_blank(line)) + b"\r\n\r\n"


def _is_blank(line: bytes) -> bool:
    """In both ways that readers decode: as Latin-1, or as UTF-8 first (warcio), whose blanks are longer."""
    return not line.decode("latin-1").strip() or not line.decode("utf-8", "replace").strip()


def _redacted(head: bytes, secret: frozenset[str]) -> tuple[bytes, bool]:
    """Values of these headers replaced, continuation lines dropped; and whether there were any."""
    lines: list[bytes] = []
    dropping = found = False
    for number, line in enumerate(head.split(b"\r\n")):
        if dropping and line.startswith((b" ", b"\t")):
            continue
        name, colon, _ = line.partition(b":")
        dropping = number > 0 and bool(colon) and name.strip().lower().decode("latin-1") in secret
        found = found or dropping
        lines.append(name + b": " + REDACTED if dropping else line)
    return b"\r\n".join(lines), found


def _body_was_left(hop: Hop) -> bool:
    """Bodies of redirects are not read; whoever finds the record should know that there was one."""
    if hop.status not in _REDIRECTS or hop.body:
        return False
    return hop.header("Transfer-Encoding") is not None or (hop.header("Content-Length") or "0").strip() != "0"


def _hops(records: Iterator[StoredRecord]) -> Iterator[Hop]:
    request: StoredRecord | None = None
    for record in records:
        if record.type == "request":
            request = record
        elif record.type == "response":
            if request is None or request.url != record.url:
                raise QuarantineError("damaged-warc", f"{record.record_id} has no request before it")
            yield _hop(request, record)
            request = None
    if request is not None:
        raise QuarantineError("damaged-warc", f"{request.record_id} has no response behind it")


def _hop(request: StoredRecord, response: StoredRecord) -> Hop:
    stored_head, body = split_http(response.block)
    head = _as_received(stored_head, len(body))
    try:
        status = int(head.split(None, 2)[1])
    except (IndexError, ValueError) as error:
        raise QuarantineError("damaged-warc", f"{response.record_id} has no status line") from error
    truncated = response.fields.get("warc-truncated")
    if truncated == "unspecified" and status in _REDIRECTS and not body:
        truncated = None
    return Hop(
        url=response.url or "",
        method=request.block.partition(b" ")[0].decode("latin-1"),
        request_head=request.block,
        status=status,
        response_head=head,
        headers=fields_of(head),
        body=bytes(body),
        began_at=response.moment("warc-date"),
        ended_at=response.moment("x-newsmill-ended-at"),
        ip=response.fields.get("warc-ip-address"),
        truncated=truncated,
    )


def _as_received(head: bytes, body_bytes: int) -> bytes:
    """Undo the renaming of framing headers, if it was ours: then our Content-Length is the last line."""
    ours = _OUR_LENGTH.search(head)
    if ours is None or int(ours.group(1)) != body_bytes or not _REFRAMED.search(head):
        return head
    return _REFRAMED.sub(b"", head[: ours.start()]) + b"\r\n\r\n"
