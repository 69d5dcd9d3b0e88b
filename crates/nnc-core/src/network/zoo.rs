//! Networks of the papers, as topologies: layers and names as the authors' files have them, without trained
//! weights.

mod cifar;
mod cifar_vgg;
mod imagenet;
mod lenet;
mod resnet;
#[cfg(test)]
mod tests;

pub use cifar::cifar_cnn;
pub use cifar_vgg::cifar_vgg_16;
pub use imagenet::{ImageNetConfig, alexnet, vgg_16};
pub use lenet::{LeNetConfig, lenet_5, lenet_300_100};
pub use resnet::{cifar_resnet, resnet_34, resnet_50};
