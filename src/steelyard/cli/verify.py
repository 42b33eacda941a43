"""`steelyard verify`: a receipt, checked by whoever holds it."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from steelyard.cli import screen
from steelyard.cli.place import HERE, Place
from steelyard.protocol.errors import Malformed

if TYPE_CHECKING:
    from steelyard.verification.receipts import Document, Finding

MARKS = {"ok": "✓", "failed": "✗", "not checked": "–"}


def verify(
    receipt: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    deployment: Annotated[
        Path | None, Parameter(help="Look at the chain too: the channel's session key, the model's registration.")
    ] = None,
    rpc: Annotated[
        str | None, Parameter(help="The chain's endpoint; $STEELYARD_RPC if not said. Needs --deployment.")
    ] = None,
    engine: Annotated[
        str | None,
        Parameter(help="Run the model again, such as canonical:smollm2-135m-instruct-q4_1; needs --deployment."),
    ] = None,
    as_json: screen.Json = False,
) -> None:
    """Check a receipt offline, say what it proves and what it does not. Exit code 1 if a check fails.

    Parameters
    ----------
    receipt
        A JSON file: the receipt of an answer, or what the gateway's /v1/receipts/ID returned. - reads standard input.
    """
    from steelyard.sdk.receipts import read
    from steelyard.verification.receipts import NOT_PROVED, check_document, holds

    if rpc is not None and deployment is None:  # without it nobody would be asked, and it would look as if
        raise Malformed("verify.rpc", "--rpc needs --deployment, the file with the contracts' addresses")
    document = read(_document(receipt))
    if engine is not None and deployment is None:
        raise Malformed("verify.engine", "--engine needs --deployment: the chain says which model and key were meant")
    findings = (
        check_document(document)
        if deployment is None
        else _with_chain(document, rpc or os.environ.get("STEELYARD_RPC", HERE.rpc), deployment, engine)
    )
    good = holds(findings)
    ran = any(one.check == "evidence" and one.status == "ok" for one in findings)
    not_proved = [sentence for sentence in NOT_PROVED if not (ran and sentence.startswith("That the named model"))]
    rows = [{"check": one.check, "status": str(one.status), "sentence": one.sentence} for one in findings]
    if as_json:
        screen.show_json({"holds": good, "findings": rows, "not_proved": not_proved})
    else:
        _tell(findings, not_proved, good)
    sys.exit(0 if good else 1)


def _tell(findings: "list[Finding]", not_proved: list[str], good: bool) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        print(f"{MARKS[str(finding.status)]} {finding.check:<{width}}  {finding.sentence}")
    print("\nWhat a receipt does not prove:")
    for sentence in not_proved:
        print(f"  {sentence}")
    print(f"\n{'The receipt holds.' if good else 'The receipt does NOT hold.'}")


def _document(path: str) -> bytes:
    """The document's bytes; the gateway's answer has it under `document`, a chunk of a stream under `receipt`."""
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).expanduser().read_bytes()
    except OSError as error:
        raise Malformed("receipt.file", f"{path}: {error.strerror}") from error
    try:
        told: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return raw  # its reader says by name what is wrong with it
    for name in ("document", "receipt"):
        if isinstance(told, dict) and "format" not in told and isinstance(told.get(name), dict):
            return json.dumps(told[name]).encode()
    return raw


def _with_chain(document: "Document", rpc: str, deployment: Path, engine: str | None) -> "list[Finding]":
    from steelyard.protocol.errors import Refused
    from steelyard.verification.receipts import check_document

    ledger = Place(rpc, deployment).ledger()
    if ledger.domain != document.domain:
        there = f"chain {ledger.domain.chain_id}, escrow {ledger.domain.escrow}"
        raise Refused(
            "receipt.domain", f"made for chain {document.domain.chain_id}, escrow {document.domain.escrow}; {there}"
        )
    channel, model = ledger.channel(document.order.channel), ledger.model(document.order.registration)
    if channel is None:
        raise Refused("channel.unknown", f"0x{document.order.channel.hex()} is not on this chain")
    if model is None:
        raise Refused("registration.unknown", f"0x{document.order.registration.hex()} is not on this chain")
    key, registration = channel.session_key, model.registration
    findings = check_document(document, session_key=key, registration=registration)
    if engine is None:
        return findings
    from steelyard.engines import catalog
    from steelyard.verification.judge import judge
    from steelyard.verification.receipts import claim_of, replayed
    from steelyard.work.generate import job_of

    runner, _ = catalog.load(engine)
    try:
        own = replayed(judge(claim_of(document, key, registration.model_root), runner, job_of))
    finally:
        runner.close()
    return [own if finding.check == own.check else finding for finding in findings]
