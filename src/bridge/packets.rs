//! Converts messages to packets of MQTT 5 or 3.1.1, and packets to messages. Knows no connection.

use super::exchange::{Cause, Delivery, Introduction, Publication, Rejection, Version};
use super::limits::KEEP_ALIVE_S;
use super::secret::Login;
use mqtt_protocol_core::mqtt::packet::{
    CorrelationData, Packet, Property, Qos, SessionExpiryInterval, UserProperty, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError, PubackReasonCode};

/// A message with QoS 1.
///
/// # Errors
/// Which part cannot be encoded.
pub fn publish(version: Version, publication: &Publication, packet_id: u16) -> Result<Packet, MqttError> {
    let payload = publication.payload.as_slice();
    if version == Version::V3_1_1 {
        let publish = v3_1_1::Publish::builder().topic_name(publication.topic.as_str())?;
        return Ok(publish.qos(Qos::AtLeastOnce).packet_id(packet_id).payload(payload).build()?.into());
    }
    let mut properties: Vec<Property> = Vec::new();
    for (name, value) in &publication.properties {
        properties.push(UserProperty::new(*name, value.as_str())?.into());
    }
    if let Some(data) = &publication.correlation {
        properties.push(CorrelationData::new(data.clone())?.into());
    }
    let publish = v5_0::Publish::builder().topic_name(publication.topic.as_str())?;
    let publish = publish.qos(Qos::AtLeastOnce).packet_id(packet_id).props(properties).payload(payload);
    Ok(publish.build()?.into())
}

/// Why the broker does not accept this client, with advice.
pub fn refused(code: &str) -> String {
    match code {
        "BadUserNameOrPassword" | "NotAuthorized" => {
            format!("the broker refuses this client: {code}; look at the user of --to and at --password-file")
        }
        "UnsupportedProtocolVersion" | "UnacceptableProtocolVersion" => {
            format!("the broker refuses this client: {code}; --mqtt takes the other version")
        }
        code => format!("the broker refuses this client: {code}"),
    }
}

/// Why the broker ends the connection: a line, and the cause.
pub fn ended(code: Option<DisconnectReasonCode>) -> (String, Cause) {
    let shown = code.map_or_else(|| "no reason".to_string(), |code| code.to_string());
    match code {
        Some(DisconnectReasonCode::SessionTakenOver) => (
            format!(
                "another client has come with the same client ID ({shown}); give each board its own --node, or each bridge its own --client-id"
            ),
            Cause::ClientIdInUse,
        ),
        Some(
            DisconnectReasonCode::PacketTooLarge
            | DisconnectReasonCode::TopicNameInvalid
            | DisconnectReasonCode::PayloadFormatInvalid
            | DisconnectReasonCode::NotAuthorized,
        ) => (format!("the broker ends the connection: {shown}"), Cause::Message),
        Some(
            DisconnectReasonCode::UnspecifiedError
            | DisconnectReasonCode::MalformedPacket
            | DisconnectReasonCode::ProtocolError
            | DisconnectReasonCode::ImplementationSpecificError,
        ) => (format!("the broker ends the connection: {shown}"), Cause::Breach),
        _ => (format!("the broker ends the connection: {shown}"), Cause::Other),
    }
}

/// Why a message is refused.
pub fn rejection(code: PubackReasonCode) -> Rejection {
    let is_final = matches!(
        code,
        PubackReasonCode::NotAuthorized
            | PubackReasonCode::TopicNameInvalid
            | PubackReasonCode::PayloadFormatInvalid
    );
    Rejection { is_final, reason: code.to_string() }
}

/// The CONNECT packet.
///
/// # Errors
/// Which part cannot be encoded.
pub fn connect(introduction: &Introduction) -> Result<Packet, MqttError> {
    let Introduction { version, client_id, login, session_expiry_s, .. } = introduction;
    let is_clean = *session_expiry_s == 0;
    if *version == Version::V3_1_1 {
        let mut connect = v3_1_1::Connect::builder().client_id(client_id.as_str())?;
        if let Some(Login { user, password }) = login {
            connect = connect.user_name(user.as_str())?.password(password.clone())?;
        }
        return Ok(connect.clean_session(is_clean).keep_alive(KEEP_ALIVE_S).build()?.into());
    }
    let mut connect = v5_0::Connect::builder().client_id(client_id.as_str())?;
    if let Some(Login { user, password }) = login {
        connect = connect.user_name(user.as_str())?.password(password.clone())?;
    }
    let properties: Vec<Property> = match session_expiry_s {
        0 => Vec::new(),
        seconds => vec![SessionExpiryInterval::new(*seconds)?.into()],
    };
    Ok(connect.clean_start(is_clean).keep_alive(KEEP_ALIVE_S).props(properties).build()?.into())
}

/// A message of the broker, by MQTT 5.
pub fn delivery_5(publish: &v5_0::Publish) -> Delivery {
    let mut delivery = Delivery {
        packet_id: publish.packet_id(),
        is_repeated: publish.dup(),
        is_retained: publish.retain(),
        topic: publish.topic_name().to_string(),
        payload: publish.payload().as_slice().to_vec(),
        ..Delivery::default()
    };
    for property in publish.props() {
        match property {
            Property::ResponseTopic(topic) => delivery.response_topic = Some(topic.val().to_string()),
            Property::CorrelationData(data) => delivery.correlation = Some(data.val().to_vec()),
            Property::UserProperty(pair) if pair.key() == "priority" => {
                delivery.priority = Some(pair.val().to_string())
            }
            _ => {}
        }
    }
    delivery
}

/// A message of the broker, by MQTT 3.1.1.
pub fn delivery_3(publish: &v3_1_1::Publish) -> Delivery {
    Delivery {
        packet_id: publish.packet_id(),
        is_repeated: publish.dup(),
        is_retained: publish.retain(),
        topic: publish.topic_name().to_string(),
        payload: publish.payload().as_slice().to_vec(),
        ..Delivery::default()
    }
}
