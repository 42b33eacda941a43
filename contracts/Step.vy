# pragma version 0.4.3
"""
@title Step: one turn of a node's loops, the last step of a dispute
@license Apache-2.0
@notice A body is a node's list of scalar operations over registers (spec/ir.md, GRA-8), in the bytes of GRA-15. Which body, which
    operands and which indices a step needs is its caller's matter; here they are only computed with.
@custom:invariant
    - the result follows from the arguments and nothing else; whatever has no result is refused by name
    - at most MAX_INSTRUCTIONS operations, MAX_FUNCTIONS of them functions, so a step has a greatest price
    - an operation reads only registers that are written, of the kinds that it takes
"""

import binary32
import operations
import scalars

MAX_GIVEN: constant(uint256) = operations.MAX_GIVEN
MAX_BYTES: constant(uint256) = operations.MAX_BYTES
MAX_REGISTERS: constant(uint256) = operations.MAX_REGISTERS
MAX_AXES: constant(uint256) = operations.MAX_AXES
WORD: constant(uint256) = 2**32 - 1


@pure
@external
def step(
    body: Bytes[MAX_BYTES], operands: DynArray[uint256, MAX_GIVEN], indices: DynArray[uint256, MAX_AXES], position: uint256
) -> uint256:
    """
    The word of a map's element, or of a fold's new accumulator. `operands`: one word for each register that the body says is given,
    the loads in order, then the accumulator; a vector as `dots` packs it. `indices`: of the node's axes, the fold's last.
    """
    # REFUSE
    size: uint256 = len(body)
    assert size > 0, "body.length"
    code: Bytes[MAX_BYTES + 32] = concat(body, empty(bytes32))
    count: uint256 = extract32(code, 0, output_type=uint256) >> 248
    assert count <= MAX_GIVEN, "body.given"
    at: uint256 = 1 + count
    assert at <= size, "body.length"
    assert len(operands) == count, "step.operands"
    # COMPUTE
    registers: uint256[MAX_REGISTERS] = empty(uint256[MAX_REGISTERS])
    kinds: uint256 = 0  # two bits a register; none yet written has none, so an argument's kind says also that it is there
    functions: uint256 = 0
    wide: uint256 = 0  # one bit a register: a vector of 32 and not of 16
    given: uint256 = extract32(code, 1, output_type=uint256)
    for i: uint256 in range(count, bound=MAX_GIVEN):
        operand: uint256 = operands[i]
        kind: uint256 = given >> 248
        given <<= 8
        if kind == operations.KIND_REAL or kind == operations.KIND_WHOLE:
            assert operand <= WORD, "step.word"
        else:
            if kind == 16:
                assert operand << 128 == 0, "step.vector"
            else:
                assert kind == 32, "body.kind"
                wide |= 1 << i
            kind = operations.KIND_VECTOR
        registers[i] = operand
        kinds |= kind << (i << 1)
    # invariant: registers below `count` are written, those before `at` have been read, and at <= size
    for _: uint256 in range(operations.MAX_INSTRUCTIONS):
        if at == size:
            break
        text: uint256 = extract32(code, at, output_type=uint256)
        operation: uint256 = text >> 248
        assert operation < operations.COUNT, "body.operation"
        at = unsafe_add(at, unsafe_add((operations.SIZES >> (operation << 2)) & 15, 1))
        assert at <= size, "body.length"
        functions = unsafe_add(functions, (operations.FUNCTIONS >> operation) & 1)
        signature: uint256 = (operations.SIGNATURES >> (operation << 3)) & 255
        result: uint256 = 0
        if signature & 3 != 0:
            a: uint256 = (text >> 240) & 255
            b: uint256 = (text >> 232) & 255
            assert (kinds >> (a << 1)) & 3 == signature & 3, "body.argument"
            x: uint256 = registers[a]
            y: uint256 = 0
            z: uint256 = 0
            if signature & 12 != 0:
                assert (kinds >> (b << 1)) & 3 == (signature >> 2) & 3, "body.argument"
                y = registers[b]
                if signature & 48 != 0:
                    c: uint256 = (text >> 224) & 255
                    assert (kinds >> (c << 1)) & 3 == (signature >> 4) & 3, "body.argument"
                    z = registers[c]
                elif operation == operations.DOT:
                    assert (wide >> a) & 1 == (wide >> b) & 1, "body.argument"
            result = scalars.do(operation, x, y, z)
        elif operation == operations.AXIS:
            axis: uint256 = (text >> 240) & 255
            assert axis < len(indices), "body.axis"
            result = indices[axis] & WORD
        elif operation == operations.POSITION:
            result = position & WORD
        else:  # a constant
            result = (text >> 216) & WORD
        registers[count] = result
        kinds |= (signature >> 6) << (count << 1)
        count = unsafe_add(count, 1)
    assert at == size, "body.length"
    assert functions <= operations.MAX_FUNCTIONS, "body.functions"
    assert count > 0, "body.result"
    last: uint256 = (kinds >> ((count - 1) << 1)) & 3
    assert last != operations.KIND_VECTOR, "body.result"
    if last == operations.KIND_REAL:
        # only here: no operation gives anything that depends on a NaN's bits
        return binary32.canonical(registers[count - 1])
    return registers[count - 1]
