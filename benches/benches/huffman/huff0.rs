//! zstd's Huffman coder alone, through symbols of the C library that its Rust crate does not name.
#![allow(unsafe_code, reason = "calls into C")]

unsafe extern "C" {
    fn HUF_compress4X_repeat(
        dst: *mut u8,
        dst_len: usize,
        src: *const u8,
        src_len: usize,
        max_symbol: u32,
        table_log: u32,
        workspace: *mut u64,
        workspace_len: usize,
        table: *mut usize,
        repeat: *mut u32,
        flags: i32,
    ) -> usize;
    fn HUF_decompress4X_hufOnly_wksp(
        table: *mut u32,
        dst: *mut u8,
        dst_len: usize,
        src: *const u8,
        src_len: usize,
        workspace: *mut u64,
        workspace_len: usize,
        flags: i32,
    ) -> usize;
    fn HUF_isError(code: usize) -> u32;
}

const BMI2: i32 = 1;
const NO_ASSEMBLY: i32 = 1 << 4;

/// Which of zstd's decoders runs.
#[derive(Clone, Copy)]
pub(crate) enum Path {
    Assembly,
    /// C, compiled for BMI2.
    C,
    /// C for any x86-64.
    PlainC,
}

impl Path {
    fn flags(self) -> i32 {
        match self {
            Self::Assembly => BMI2,
            Self::C => BMI2 | NO_ASSEMBLY,
            Self::PlainC => NO_ASSEMBLY,
        }
    }
}

/// Four streams, words of at most 11 bits, a table in each block of at most 128 KiB: as in zstd's frames.
pub(crate) struct Huff0 {
    workspace: Vec<u64>,
    encode_table: Vec<usize>,
    decode_table: Vec<u32>,
}

impl Huff0 {
    pub(crate) fn new() -> Self {
        Self { workspace: vec![0; 1 << 13], encode_table: vec![0; 257], decode_table: vec![0; (1 << 12) + 1] }
    }

    /// Codes a block to the front of `dst`; its length.
    pub(crate) fn encode(&mut self, src: &[u8], dst: &mut [u8]) -> usize {
        let mut repeat = 0;
        // SAFETY: lengths are those of the slices; the workspace exceeds HUF_WORKSPACE_SIZE and the table has
        // HUF_CTABLE_SIZE_ST(255) entries.
        let code = unsafe {
            HUF_compress4X_repeat(
                dst.as_mut_ptr(),
                dst.len(),
                src.as_ptr(),
                src.len(),
                255,
                11,
                self.workspace.as_mut_ptr(),
                size_of_val(&self.workspace[..]),
                self.encode_table.as_mut_ptr(),
                &raw mut repeat,
                BMI2,
            )
        };
        // SAFETY: it looks at its argument only.
        assert!(unsafe { HUF_isError(code) } == 0 && code > 0, "huff0 refuses the block");
        code
    }

    /// Decodes a block of exactly the symbols of `dst`.
    pub(crate) fn decode(&mut self, src: &[u8], dst: &mut [u8], path: Path) {
        // What HUF_CREATE_STATIC_DTABLEX2 puts there: how large the table may become.
        self.decode_table[0] = 12 * 0x0100_0001;
        // SAFETY: lengths are those of the slices; the table has HUF_DTABLE_SIZE(12) entries.
        let code = unsafe {
            HUF_decompress4X_hufOnly_wksp(
                self.decode_table.as_mut_ptr(),
                dst.as_mut_ptr(),
                dst.len(),
                src.as_ptr(),
                src.len(),
                self.workspace.as_mut_ptr(),
                size_of_val(&self.workspace[..]),
                path.flags(),
            )
        };
        assert_eq!(code, dst.len(), "huff0 decodes its own block");
    }
}
