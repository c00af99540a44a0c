"""WebSub, the subscriber's side: what feeds advertise, what hubs are asked and ask back, whom to believe. Pure.

Source: WebSub, W3C Recommendation of 23 January 2018, https://www.w3.org/TR/websub/; sections are named where used.
"""
