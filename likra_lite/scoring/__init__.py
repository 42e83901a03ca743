"""Log-likelihoods to scores, decisions, and what can be said of them."""
