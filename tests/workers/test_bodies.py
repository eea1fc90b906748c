from pyserve.workers.bodies import Bodies


class Holder:
    held = 0


def test_one_body_has_a_limit() -> None:
    bodies, holder = Bodies(10, 100), Holder()
    assert bodies.hold(holder, 4)
    assert bodies.hold(holder, 10)
    assert not bodies.hold(holder, 11)
    assert bodies.held == 11
    bodies.release(holder)
    bodies.release(holder)
    assert bodies.held == 0


def test_all_bodies_together_have_a_limit() -> None:
    bodies = Bodies(10, 15)
    first, second = Holder(), Holder()
    assert bodies.hold(first, 10)
    assert not bodies.hold(second, 6)
    bodies.release(first)
    assert bodies.hold(second, 6)
    assert bodies.held == 6
