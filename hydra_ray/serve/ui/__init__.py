"""The page at `/`: plain HTML, CSS and JavaScript modules without a build, and the router that serves them.

index.html   what stands still          page.css     how it looks, light and dark
page.js      ties the parts together    api.js       the service's JSON API, the key, errors
users.js     the user field and list    person.js    the chosen user: facts, fit, new items
answer.js    an answer and its trace    retrieved.js what was retrieved, how the reranker moved it
dom.js       elements and numbers
"""

from hydra_ray.serve.ui.router import page_router

__all__ = ["page_router"]
