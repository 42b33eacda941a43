# pragma version 0.4.3
"""
@title Formats: fields of a model file's blocks, by their codes in a node's leaf (spec/ir.md, GRA-13)
@license Apache-2.0
@notice Written by tools/formats_vy.py from src/steelyard/engines/canonical/fields.py: do not edit.
"""

F32: constant(uint256) = 0
F16: constant(uint256) = 1
BF16: constant(uint256) = 2
Q4_0_Q: constant(uint256) = 3
Q4_0_D: constant(uint256) = 4
Q4_1_Q: constant(uint256) = 5
Q4_1_D: constant(uint256) = 6
Q4_1_M: constant(uint256) = 7
Q5_0_Q: constant(uint256) = 8
Q5_0_D: constant(uint256) = 9
Q5_1_Q: constant(uint256) = 10
Q5_1_D: constant(uint256) = 11
Q5_1_M: constant(uint256) = 12
Q8_0_Q: constant(uint256) = 13
Q8_0_D: constant(uint256) = 14
Q4_K_Q: constant(uint256) = 15
Q4_K_E: constant(uint256) = 16
Q4_K_G: constant(uint256) = 17
Q5_K_Q: constant(uint256) = 18
Q5_K_E: constant(uint256) = 19
Q5_K_G: constant(uint256) = 20
Q6_K_Q: constant(uint256) = 21
Q6_K_SC: constant(uint256) = 22
Q6_K_D: constant(uint256) = 23
COUNT: constant(uint256) = 24

# By code: 4 bits, log2 of the elements in a block; 8 bits, the bytes of a block; 4 bits, log2 of the blocks in a leaf of
# the model root; 1 bit for those whose elements are binary32 and not whole numbers
EACH: constant(uint256) = 16251855195632344008924090368
BYTES: constant(uint256) = 5169377849844282335111153766927200765002187685368367809028
BLOCKS: constant(uint256) = 10563755002132495980060563864
REAL: constant(uint256) = 10181335
