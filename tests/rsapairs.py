"""RSA pairs (private, public) in PEM for the tests of logins: made once, since making them takes a while."""

from metricwire.tokens import new_login_pair

OURS, ACCOUNT, FOREIGN = (new_login_pair() for _ in range(3))
