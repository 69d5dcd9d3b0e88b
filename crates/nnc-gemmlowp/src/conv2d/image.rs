//! Images as slices: a shape and a layout.

use crate::{Error, Result};

/// Which neighbours of an image lie beside each other in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageLayout {
    /// The channels of a pixel: image, row, column, channel. The faster one.
    Nhwc,
    /// The pixels of a channel's row: image, channel, row, column.
    Nchw,
}

/// Images, channels, height and width, whatever the layout.
pub(crate) type Shape = (usize, usize, usize, usize);

/// Elements of `shape`.
fn len(what: &'static str, shape: Shape) -> Result<usize> {
    let (n, c, h, w) = shape;
    let len = n.checked_mul(c).and_then(|len| len.checked_mul(h)).and_then(|len| len.checked_mul(w));
    // Zeros hide the other sides from the product, which are multiplied later on.
    let most = n.max(1).checked_mul(h.max(1)).and_then(|most| most.checked_mul(w.max(1)));
    let most = most.and_then(|most| most.checked_mul(c.max(1)));
    let fits = most.is_some_and(|most| most <= isize::MAX.cast_unsigned());
    len.filter(|_| fits)
        .ok_or_else(|| Error::invalid(what, "a size that memory can have", format!("{n} x {c} x {h} x {w}")))
}

fn check(what: &'static str, shape: Shape, found: usize) -> Result<()> {
    let expected = len(what, shape)?;
    if expected == found { Ok(()) } else { Err(Error::WrongLength { what, expected, found }) }
}

/// Where the element (image, channel, row, column) of `shape` lies.
pub(crate) fn at(shape: Shape, layout: ImageLayout, (n, c, y, x): Shape) -> usize {
    let (_, n_channels, h, w) = shape;
    match layout {
        ImageLayout::Nhwc => ((n * h + y) * w + x) * n_channels + c,
        ImageLayout::Nchw => ((n * n_channels + c) * h + y) * w + x,
    }
}

/// Quantized images that are read: real = scale · (q − `zero_point`).
#[derive(Clone, Copy, Debug)]
pub struct Image<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) shape: Shape,
    pub(crate) layout: ImageLayout,
    pub(crate) zero_point: T,
}

impl<'a, T> Image<'a, T> {
    /// Images of `shape`, (images, channels, height, width), one after another without gaps.
    ///
    /// `shape` has that order in either layout. `zero_point` stands for 0, and for what is outside of the image.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `data` has another number of elements.
    pub fn new(data: &'a [T], shape: Shape, layout: ImageLayout, zero_point: T) -> Result<Self> {
        check("data", shape, data.len())?;
        Ok(Self { data, shape, layout, zero_point })
    }

    /// Images, channels, height and width.
    #[must_use]
    pub fn shape(&self) -> (usize, usize, usize, usize) {
        self.shape
    }
}

/// Images that are written.
#[derive(Debug)]
pub struct ImageMut<'a, O> {
    pub(crate) data: &'a mut [O],
    pub(crate) shape: Shape,
    pub(crate) layout: ImageLayout,
}

impl<'a, O> ImageMut<'a, O> {
    /// Images of `shape`, (images, channels, height, width), one after another without gaps.
    ///
    /// # Errors
    /// As [`Image::new`].
    pub fn new(data: &'a mut [O], shape: Shape, layout: ImageLayout) -> Result<Self> {
        check("data", shape, data.len())?;
        Ok(Self { data, shape, layout })
    }

    /// Images, channels, height and width.
    #[must_use]
    pub fn shape(&self) -> (usize, usize, usize, usize) {
        self.shape
    }

    /// Checks that it has the shape of a result.
    pub(crate) fn check(&self, expected: Shape) -> Result<()> {
        if self.shape == expected {
            return Ok(());
        }
        let name = |(n, c, h, w): Shape| format!("{n} x {c} x {h} x {w}");
        Err(Error::invalid("out", name(expected), name(self.shape)))
    }
}
