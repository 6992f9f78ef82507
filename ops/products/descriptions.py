"""Descriptions, made from a subscription's values so that they always agree with them."""

from resources import State, SubscriptionModel


def described(subscription: SubscriptionModel, description: str) -> State:
    """Return a subscription from a step that has made or changed it, with its description updated.

    Changes or adds `subscription`, `subscription_id` and `subscription_description`.
    """
    subscription.description = description
    return {
        "subscription": subscription,
        "subscription_id": subscription.subscription_id,
        "subscription_description": description,
    }
