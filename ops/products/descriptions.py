"""Descriptions made from a subscription's values, so that they never say something else than it does."""

from resources import State, SubscriptionModel


def described(subscription: SubscriptionModel, description: str) -> State:
    """What a step returns that has made or changed a subscription: the subscription, saying so in its description.

    Changes or adds `subscription`, `subscription_id` and `subscription_description`.
    """
    subscription.description = description
    return {
        "subscription": subscription,
        "subscription_id": subscription.subscription_id,
        "subscription_description": description,
    }
