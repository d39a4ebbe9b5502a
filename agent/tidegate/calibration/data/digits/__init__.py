"""The demo's model: a small residual CNN on scikit-learn's scanned digits, trained from scratch."""
