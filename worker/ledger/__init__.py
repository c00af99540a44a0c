"""The ledger: the only room that speaks SQL. What is written here is the truth; the broker only carries hints."""
