"""What a classifier does with a store and a bundle: train, evaluate, move heads."""
