//! Entropy coding of weight codes and gaps: length-limited canonical Huffman, safe on hostile bytes.
