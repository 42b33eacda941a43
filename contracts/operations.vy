# pragma version 0.4.3
"""
@title Operations: their codes, kinds and sizes, bounds of a body, constants of the functions and of Philox
@license Apache-2.0
@notice Written by tools/operations_vy.py from src/steelyard/engines/{ir/encoding,ir/scalars,canonical/picking}.py: do not edit.
"""

ADD: constant(uint256) = 0
SUB: constant(uint256) = 1
MUL: constant(uint256) = 2
DIV: constant(uint256) = 3
FMA: constant(uint256) = 4
SQRT: constant(uint256) = 5
NEG: constant(uint256) = 6
ABS: constant(uint256) = 7
LARGER: constant(uint256) = 8
EXP: constant(uint256) = 9
LOG: constant(uint256) = 10
TANH: constant(uint256) = 11
ERF: constant(uint256) = 12
LESS: constant(uint256) = 13
SELECT: constant(uint256) = 14
FLOAT: constant(uint256) = 15
ROUND: constant(uint256) = 16
BITS: constant(uint256) = 17
REAL: constant(uint256) = 18
IADD: constant(uint256) = 19
IMUL: constant(uint256) = 20
IAND: constant(uint256) = 21
ILARGER: constant(uint256) = 22
ILESS: constant(uint256) = 23
IEQUAL: constant(uint256) = 24
ISELECT: constant(uint256) = 25
DOT: constant(uint256) = 26
CONST: constant(uint256) = 27
WHOLE: constant(uint256) = 28
AXIS: constant(uint256) = 29
POSITION: constant(uint256) = 30
COUNT: constant(uint256) = 31

# By code: 8 bits each (2 for the kind of each argument, first lowest, 2 of the result), 4 bits, the bytes behind it,
# 1 bit for those that MAX_FUNCTIONS counts
SIGNATURES: constant(uint256) = 227043305496283285449823785284221956210278939835683560345445442429974299973
SIZES: constant(uint256) = 105188548176413240895085532549423650
FUNCTIONS: constant(uint256) = 7680

KIND_REAL: constant(uint256) = 1
KIND_WHOLE: constant(uint256) = 2
KIND_VECTOR: constant(uint256) = 3

MAX_GIVEN: constant(uint256) = 16
MAX_INSTRUCTIONS: constant(uint256) = 48
MAX_REGISTERS: constant(uint256) = 64
MAX_FUNCTIONS: constant(uint256) = 4
MAX_AXES: constant(uint256) = 8
MAX_BYTES: constant(uint256) = 257

LOG2E: constant(uint256) = 1069066811  # 0x3fb8aa3b
LN2_HIGH: constant(uint256) = 1060205056  # 0x3f317200
LN2_LOW: constant(uint256) = 901758606  # 0x35bfbe8e
SQRT_HALF: constant(uint256) = 1060439283  # 0x3f3504f3

# Polynomials: highest power first; others in 32 bits each, the next one lowest
EXP_FIRST: constant(uint256) = 961547521  # 0x39500d01
EXP_OTHERS: constant(uint256) = 6687330522510396825197204256649688595644542576840935450894316997473  # 0x000000003f8000003f8000003f0000003e2aaaab3d2aaaab3c0888893ab60b61
EXP_COUNT: constant(uint256) = 7
LOG_FIRST: constant(uint256) = 1032855995  # 0x3d9021bb
LOG_OTHERS: constant(uint256) = 28344938513306720765907216889786074622542680685818862333554894925435767607736  # 0x3eaaaaaabe7ffffc3e4cceacbe2aae503e11e9bfbdfe5d4f3def251abdebd1b8
LOG_COUNT: constant(uint256) = 8
TANH_FIRST: constant(uint256) = 3149590762  # 0xbbbaf0ea
TANH_OTHERS: constant(uint256) = 253439469815824785385795008878002901838  # 0x00000000000000000000000000000000beaaaa993e088393bd5c1e2d3ca9134e
TANH_COUNT: constant(uint256) = 4
ERF_FIRST: constant(uint256) = 950318361  # 0x38a4b519
ERF_OTHERS: constant(uint256) = 1558589393875023599952416811108031529245208922844568877952  # 0x00000000000000003f906ebabec0939f3de7167cbcdbfc873baa02d9ba51fb80
ERF_COUNT: constant(uint256) = 6
ERFC_NEAR_FIRST: constant(uint256) = 1019124980  # 0x3cbe9cf4
ERFC_NEAR_OTHERS: constant(uint256) = 28524578784822864342011584679047663359010749125631282373646660856535510288488  # 0x3f1056e6be8c58803eae5471befd28c03f1ef9e3bf151cf83ebccbd0be0e0868
ERFC_NEAR_COUNT: constant(uint256) = 8
ERFC_FAR_FIRST: constant(uint256) = 3240600707  # 0xc127a483
ERFC_FAR_OTHERS: constant(uint256) = 6641434322469696569579496933622002427471160534335559961152716776092  # 0x000000003f106eb9be906c5d3ed7fc3ebf81f436403af1fac0efdb4a414fa29c
ERFC_FAR_COUNT: constant(uint256) = 7

MULTIPLIER_0: constant(uint256) = 3528531795  # 0xD2511F53
MULTIPLIER_1: constant(uint256) = 3449720151  # 0xCD9E8D57
KEY_STEP_0: constant(uint256) = 2654435769  # 0x9E3779B9
KEY_STEP_1: constant(uint256) = 3144134277  # 0xBB67AE85
PHILOX_ROUNDS: constant(uint256) = 10
