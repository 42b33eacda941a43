# pragma version 0.4.3
"""
@title Scalars: any operation of a body, by its code
@license Apache-2.0
@notice What src/steelyard/engines/ir/scalars.py does, on one word an argument: binary32 and whole numbers below 2**32 (two's
    complement), vectors as `dots` packs them. Arguments that an operation does not take are not read.
"""

import binary32
import dots
import functions
import operations

SIGN: constant(uint256) = 2**31
MAGNITUDE: constant(uint256) = 2**31 - 1
WORD: constant(uint256) = 2**32 - 1


@pure
@internal
def do(code: uint256, a: uint256, b: uint256, c: uint256) -> uint256:
    """
    The result; reverts "body.operation" for a code that is no operation on registers.
    """
    # Codes in order: six of arithmetic, signs, four functions, then what gives or takes whole numbers.
    if code <= operations.SQRT:
        if code == operations.FMA:
            return binary32.fma(a, b, c)
        if code == operations.MUL:
            return binary32.mul(a, b)
        if code == operations.ADD:
            return binary32.add(a, b)
        if code == operations.SUB:
            return binary32.sub(a, b)
        if code == operations.DIV:
            return binary32.div(a, b)
        return binary32.sqrt(a)
    if code >= operations.IADD:
        if code == operations.DOT:
            return dots.dot(a, b)
        if code == operations.IADD:
            return unsafe_add(a, b) & WORD
        if code == operations.IMUL:
            return unsafe_mul(a, b) & WORD
        if code == operations.IAND:
            return a & b
        if code == operations.ILARGER:
            return a if a ^ SIGN > b ^ SIGN else b
        if code == operations.ILESS:
            return convert(a ^ SIGN < b ^ SIGN, uint256)
        if code == operations.IEQUAL:
            return convert(a == b, uint256)
        assert code == operations.ISELECT, "body.operation"
        return b if a != 0 else c
    if code >= operations.LESS:
        if code == operations.FLOAT:
            return binary32.from_whole(a)
        if code == operations.LESS:
            return convert(binary32.less(a, b), uint256)
        if code == operations.SELECT:
            return b if a != 0 else c
        if code == operations.BITS:
            return binary32.canonical(a)
        if code == operations.ROUND:
            return binary32.to_whole(a)
        return a  # real
    if code == operations.NEG:
        return a ^ SIGN
    if code == operations.ABS:
        return a & MAGNITUDE
    if code == operations.LARGER:
        return a if binary32.less(b, a) else b
    if code == operations.EXP:
        return functions.exp(a)
    if code == operations.LOG:
        return functions.logarithm(a)
    if code == operations.TANH:
        return functions.tanh(a)
    return functions.erf(a)
