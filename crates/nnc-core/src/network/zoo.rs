//! Networks of the papers, as topologies: layers and names as the authors' files have them, without trained
//! weights.

mod cifar;
mod imagenet;
mod lenet;

pub use cifar::cifar_cnn;
pub use imagenet::{ImageNetConfig, alexnet, vgg_16};
pub use lenet::{LeNetConfig, lenet_5, lenet_300_100};
