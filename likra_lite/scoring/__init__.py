"""Log-likelihoods to scores and decisions, and how sure these are."""
