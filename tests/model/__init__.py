"""Models of the lease for the model checker Spin, and the test that runs them."""
