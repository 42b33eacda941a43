# pragma version 0.4.3
"""
@title Records
@notice Structs, EIP-712 digests, signer recovery. Written by tools/records_vy.py from the Python records: do not edit.
"""

# keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"), keccak256("Steelyard"), keccak256("1")
DOMAIN_TYPE: constant(bytes32) = 0x8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f
NAME: constant(bytes32) = 0xc874e68b9166c7017eb9763958eadb38c3fc2088028792984e2a4558ae2be964
VERSION: constant(bytes32) = 0xc89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168

# Registration(uint16 version,bytes32 model_root,address author,address payee,uint16 royalty_bps,uint32 context_length,uint64 size_bytes,uint8 public_weights,bytes32 terms)
REGISTRATION_TYPE: constant(bytes32) = 0xe2e035b016b63d3c59b6b5b5f710ba9f8c5cb0555bfcc5b77b14de11f74bd571
# Vote(uint16 version,bytes32 case,address juror,uint8 outcome,bytes32 evidence_root,bytes32 run_digest,bytes32 salt)
VOTE_TYPE: constant(bytes32) = 0xd864438c708eb73913a6375ed20d5e8d7f3d2f856a2fcf934448e47eb4b249ba
# Offer(uint16 version,address provider,bytes32 registration,uint8 kind,uint8 level,uint64 price_in,uint64 price_out,uint64 price_cached,uint32 context_length,uint32 max_units,uint16 max_unpaid,uint16 run_ahead,uint64 valid_until,uint64 nonce)
OFFER_TYPE: constant(bytes32) = 0xb676122286f9a7a1df1e9e4e2f3726d8cd0ab285801c80e2c06c7bbac18d349b
# Order(uint16 version,bytes32 channel,bytes32 offer,bytes32 registration,uint8 kind,uint8 level,bytes32 prompt_root,uint32 prompt_units,uint32 answer_from,uint32 max_units,uint32 temperature,uint32 top_p,uint32 top_k,uint64 seed,bytes32 grammar,uint8 logprobs,uint128 max_price,uint64 deadline,bytes32 coin_commitment,uint64 jury_epoch,bytes32 nonce)
ORDER_TYPE: constant(bytes32) = 0x7ab5ba34f8e4cc4b7c9936be509995835001dc7a51fc631a05ad383d8655008c
# Receipt(uint16 version,bytes32 order,bytes32 model_root,bytes32 offer,bytes32 response_root,bytes32 evidence_root)
RECEIPT_TYPE: constant(bytes32) = 0x9344657f5e09e744a59796f929c036f8bd81afc8d19c84a3e24ac9614ff95e5b
# Voucher(uint16 version,bytes32 channel,bytes32 offer,uint128 amount,uint64 count,bytes32 receipts_root)
VOUCHER_TYPE: constant(bytes32) = 0xfd53f4be4d91c2fbd016e76847e93f736ed9e363309dd4e65a691b6edb8860ab
# Cancel(uint16 version,bytes32 order,uint32 units)
CANCEL_TYPE: constant(bytes32) = 0xe310fd0e5f2dadad1c9073d7a900473a81bf4a64ebde8a3cc3539def6d2d025b
# AuditTicket(uint16 version,bytes32 receipt,address auditor,uint64 expiry)
AUDIT_TICKET_TYPE: constant(bytes32) = 0x3d95347fae4a4feb73f47ba1eb17e775aa9f62ccbcd916aadd576f29a9838816
# ChannelGrant(uint16 version,address owner,address session_key,uint128 cap,uint64 expiry,uint128 deposit,bytes32 allocations,bytes32 nonce)
CHANNEL_GRANT_TYPE: constant(bytes32) = 0x5678c349f9835d85bbc2b273556382ecd812f3199534aea2c394db92dfe6f5e4
# VerdictRecord(uint16 version,bytes32 receipt,address auditor,uint8 outcome,bytes32 detail)
VERDICT_RECORD_TYPE: constant(bytes32) = 0x10a33aabbf6f3e607ccdb479ea29509f65a893dbc7d659cea70b971a9892520a

struct Registration:
    version: uint16
    model_root: bytes32
    author: address
    payee: address
    royalty_bps: uint16
    context_length: uint32
    size_bytes: uint64
    public_weights: uint8
    terms: bytes32

struct Vote:
    version: uint16
    case: bytes32
    juror: address
    outcome: uint8
    evidence_root: bytes32
    run_digest: bytes32
    salt: bytes32

struct Offer:
    version: uint16
    provider: address
    registration: bytes32
    kind: uint8
    level: uint8
    price_in: uint64
    price_out: uint64
    price_cached: uint64
    context_length: uint32
    max_units: uint32
    max_unpaid: uint16
    run_ahead: uint16
    valid_until: uint64
    nonce: uint64

struct Order:
    version: uint16
    channel: bytes32
    offer: bytes32
    registration: bytes32
    kind: uint8
    level: uint8
    prompt_root: bytes32
    prompt_units: uint32
    answer_from: uint32
    max_units: uint32
    temperature: uint32
    top_p: uint32
    top_k: uint32
    seed: uint64
    grammar: bytes32
    logprobs: uint8
    max_price: uint128
    deadline: uint64
    coin_commitment: bytes32
    jury_epoch: uint64
    nonce: bytes32

struct Receipt:
    version: uint16
    order: bytes32
    model_root: bytes32
    offer: bytes32
    response_root: bytes32
    evidence_root: bytes32

struct Voucher:
    version: uint16
    channel: bytes32
    offer: bytes32
    amount: uint128
    count: uint64
    receipts_root: bytes32

struct Cancel:
    version: uint16
    order: bytes32
    units: uint32

struct AuditTicket:
    version: uint16
    receipt: bytes32
    auditor: address
    expiry: uint64

struct ChannelGrant:
    version: uint16
    owner: address
    session_key: address
    cap: uint128
    expiry: uint64
    deposit: uint128
    allocations: bytes32
    nonce: bytes32

struct VerdictRecord:
    version: uint16
    receipt: bytes32
    auditor: address
    outcome: uint8
    detail: bytes32


@internal
@pure
def hash_registration(r: Registration) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(REGISTRATION_TYPE, r))


@internal
@pure
def hash_vote(r: Vote) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(VOTE_TYPE, r))


@internal
@pure
def hash_offer(r: Offer) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(OFFER_TYPE, r))


@internal
@pure
def hash_order(r: Order) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(ORDER_TYPE, r))


@internal
@pure
def hash_receipt(r: Receipt) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(RECEIPT_TYPE, r))


@internal
@pure
def hash_voucher(r: Voucher) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(VOUCHER_TYPE, r))


@internal
@pure
def hash_cancel(r: Cancel) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(CANCEL_TYPE, r))


@internal
@pure
def hash_audit_ticket(r: AuditTicket) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(AUDIT_TICKET_TYPE, r))


@internal
@pure
def hash_channel_grant(r: ChannelGrant) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(CHANNEL_GRANT_TYPE, r))


@internal
@pure
def hash_verdict_record(r: VerdictRecord) -> bytes32:
    """
    @dev EIP-712 hashStruct.
    """
    return keccak256(abi_encode(VERDICT_RECORD_TYPE, r))


@internal
@pure
def digest_offer(r: Offer, domain: bytes32) -> bytes32:
    """
    @dev EIP-712 digest in a domain (`separator`).
    """
    return self.typed(domain, self.hash_offer(r))


@internal
@pure
def digest_order(r: Order, domain: bytes32) -> bytes32:
    """
    @dev EIP-712 digest in a domain (`separator`).
    """
    return self.typed(domain, self.hash_order(r))


@internal
@pure
def digest_receipt(r: Receipt, domain: bytes32) -> bytes32:
    """
    @dev EIP-712 digest in a domain (`separator`).
    """
    return self.typed(domain, self.hash_receipt(r))


@internal
@pure
def digest_voucher(r: Voucher, domain: bytes32) -> bytes32:
    """
    @dev EIP-712 digest in a domain (`separator`).
    """
    return self.typed(domain, self.hash_voucher(r))


@internal
@pure
def digest_cancel(r: Cancel, domain: bytes32) -> bytes32:
    """
    @dev EIP-712 digest in a domain (`separator`).
    """
    return self.typed(domain, self.hash_cancel(r))


@internal
@pure
def digest_audit_ticket(r: AuditTicket, domain: bytes32) -> bytes32:
    """
    @dev EIP-712 digest in a domain (`separator`).
    """
    return self.typed(domain, self.hash_audit_ticket(r))


@internal
@pure
def digest_channel_grant(r: ChannelGrant, domain: bytes32) -> bytes32:
    """
    @dev EIP-712 digest in a domain (`separator`).
    """
    return self.typed(domain, self.hash_channel_grant(r))


@internal
@pure
def digest_verdict_record(r: VerdictRecord, domain: bytes32) -> bytes32:
    """
    @dev EIP-712 digest in a domain (`separator`).
    """
    return self.typed(domain, self.hash_verdict_record(r))


@internal
@view
def separator(escrow: address) -> bytes32:
    """
    @dev EIP-712 domain separator of {Steelyard, 1, this chain, escrow}.
    """
    return keccak256(abi_encode(DOMAIN_TYPE, NAME, VERSION, chain.id, escrow))


@internal
@pure
def typed(domain: bytes32, struct_hash: bytes32) -> bytes32:
    """
    @dev EIP-712 digest.
    """
    return keccak256(concat(x"1901", domain, struct_hash))


@internal
@pure
def recover(digest: bytes32, signature: Bytes[65]) -> address:
    """
    @dev The signer; reverts "signature" on a wrong length, a high s (EIP-2), v other than 27 or 28, or no key.
    """
    assert len(signature) == 65, "signature"
    s: uint256 = convert(slice(signature, 32, 32), uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    assert s <= HALF_ORDER, "signature"
    assert v == 27 or v == 28, "signature"
    signer: address = ecrecover(digest, v, convert(slice(signature, 0, 32), uint256), s)
    assert signer != empty(address), "signature"
    return signer
