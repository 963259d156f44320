"""The Kubernetes API, as little of it as the operator needs.

`endpoint` finds the API server and proves who we are, `client` reads and writes objects, `elector`
picks the acting replica, `recorder` tells users by Events. Errors of HTTP and of the API server
stop here.
"""
