"""Preparing data for training: cleaning, personal data, splits, leakage, imbalance, scaling, encoding, augmentation."""
